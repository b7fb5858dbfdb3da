"""What is claimed ahead: how much, and what becomes of it."""

import time
from collections.abc import Callable, Sequence

import pytest

from jobs.engine.queue.claim import Claim
from jobs.engine.worker.prefetch import Prefetch
from jobs.testing.waiting import wait_until

LEASE = 10.0


class Slots:
    """A worker with some slots, whose jobs end on `end`."""

    def __init__(
        self, slots: int, *, at_once: bool = False, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self.started: list[str] = []
        self.released: list[str] = []
        self.prefetch = Prefetch(
            free=self.free, start=self.start, release=self.release, lease=LEASE, now=now
        )
        self._running = 0
        self._at_once = at_once

    def free(self) -> int:
        return self.slots - self._running

    def start(self, claims: Sequence[Claim]) -> None:
        self.started += [claim.job_id for claim in claims]
        self._running += len(claims)
        while self._at_once and self._running:
            self.end()

    def end(self) -> None:
        self._running -= 1
        self.prefetch.start_waiting()

    def release(self, claims: Sequence[Claim]) -> None:
        self.released += [claim.job_id for claim in claims]


def claims(*ids: str, age: float = 0.0) -> list[Claim]:
    since = time.monotonic() - age
    return [Claim(job_id, "q", b"1", "token", b"", since) for job_id in ids]


async def test_it_starts_as_many_as_there_are_slots_in_their_order() -> None:
    slots = Slots(2)
    slots.prefetch.add(claims("a", "b", "c"), 0.0)
    slots.prefetch.add(claims("d"), 0.0)
    assert slots.started == ["a", "b"]
    slots.end()
    assert slots.started == ["a", "b", "c"]
    slots.end()
    assert slots.started == ["a", "b", "c", "d"]
    slots.prefetch.close()
    assert not slots.released


async def test_jobs_that_end_in_their_start_need_no_depth() -> None:
    slots = Slots(1, at_once=True)
    ids = [str(number) for number in range(5000)]
    slots.prefetch.add(claims(*ids), 0.0)
    assert slots.started == ids


async def test_what_waits_too_long_goes_back() -> None:
    slots = Slots(1)
    slots.prefetch.add(claims("a", "b", "c"), 0.0)
    await wait_until(lambda: slots.released == ["b", "c"])
    slots.end()
    assert slots.started == ["a"]


async def test_what_may_have_lapsed_is_not_started() -> None:
    slots = Slots(1)
    slots.prefetch.add([*claims("old", age=LEASE / 2 + 1), *claims("new")], 0.0)
    assert slots.released == ["old"]
    assert slots.started == ["new"]


async def test_closed_it_gives_all_of_it_back() -> None:
    slots = Slots(1)
    slots.prefetch.add(claims("a", "b"), 0.0)
    slots.prefetch.close()
    assert slots.released == ["b"]


@pytest.mark.parametrize(
    ("rate", "took", "size"),
    [(1000, 0.01, 20), (1000, 0.0, 5), (1000, 9.0, 50), (10, 0.001, 0)],
    ids=["two claims' time", "at least some milliseconds", "half the patience", "slow jobs"],
)
async def test_it_holds_what_starts_while_a_claim_is_under_way(
    rate: int, took: float, size: int
) -> None:
    now = time.monotonic()
    slots = Slots(2 * rate, now=lambda: now)
    assert slots.prefetch.missing(0) == 0
    now += 1.0
    slots.prefetch.add(claims(*map(str, range(rate))), took)
    assert slots.prefetch.missing(0) == size
    assert slots.prefetch.missing(size // 2) == size - size // 2
    assert slots.prefetch.missing(size // 2 + 1) == 0
    assert slots.prefetch.missing(-5) == size + 5


async def test_one_that_was_closed_works_again() -> None:
    slots = Slots(0)
    slots.prefetch.add(claims("a"), took=0)
    slots.prefetch.close()
    slots.prefetch.add(claims("b"), took=0)
    await wait_until(lambda: slots.released == ["a", "b"])
