"""Prefetch: its size, and the claims that wait in it."""

import time
from collections.abc import Callable, Sequence

import pytest

from jobs.engine.queue.claim import Claim
from jobs.engine.worker.prefetch import Prefetch
from jobs.testing.waiting import wait_until

LEASE = 10.0


class FakeWorker:
    """Worker with a number of slots. A job ends on `end`, or at once."""

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


async def test_prefetch_starts_a_job_for_each_free_slot_in_order() -> None:
    worker = FakeWorker(2)
    worker.prefetch.add(claims("a", "b", "c"), 0.0)
    worker.prefetch.add(claims("d"), 0.0)
    assert worker.started == ["a", "b"]
    worker.end()
    assert worker.started == ["a", "b", "c"]
    worker.end()
    assert worker.started == ["a", "b", "c", "d"]
    worker.prefetch.close()
    assert not worker.released


async def test_jobs_that_end_within_their_start_do_not_recurse() -> None:
    worker = FakeWorker(1, at_once=True)
    ids = [str(number) for number in range(5000)]
    worker.prefetch.add(claims(*ids), 0.0)
    assert worker.started == ids


async def test_claim_that_waits_too_long_is_requeued() -> None:
    worker = FakeWorker(1)
    worker.prefetch.add(claims("a", "b", "c"), 0.0)
    await wait_until(lambda: worker.released == ["b", "c"])
    worker.end()
    assert worker.started == ["a"]


async def test_claim_whose_lease_may_have_expired_is_not_started() -> None:
    worker = FakeWorker(1)
    worker.prefetch.add([*claims("old", age=LEASE / 2 + 1), *claims("new")], 0.0)
    assert worker.released == ["old"]
    assert worker.started == ["new"]


async def test_closed_prefetch_requeues_all_claims() -> None:
    worker = FakeWorker(1)
    worker.prefetch.add(claims("a", "b"), 0.0)
    worker.prefetch.close()
    assert worker.released == ["b"]


@pytest.mark.parametrize(
    ("rate", "took", "size"),
    [(1000, 0.01, 20), (1000, 0.0, 5), (1000, 9.0, 50), (10, 0.001, 0)],
    ids=["duration of two claims", "minimum duration", "half of the maximum wait", "slow jobs"],
)
async def test_prefetch_covers_the_jobs_that_start_during_a_claim(
    rate: int, took: float, size: int
) -> None:
    now = time.monotonic()
    worker = FakeWorker(2 * rate, now=lambda: now)
    assert worker.prefetch.missing(0) == 0
    now += 1.0
    worker.prefetch.add(claims(*map(str, range(rate))), took)
    assert worker.prefetch.missing(0) == size
    assert worker.prefetch.missing(size // 2) == size - size // 2
    assert worker.prefetch.missing(size // 2 + 1) == 0
    assert worker.prefetch.missing(-5) == size + 5


async def test_closed_prefetch_works_again() -> None:
    worker = FakeWorker(0)
    worker.prefetch.add(claims("a"), took=0)
    worker.prefetch.close()
    worker.prefetch.add(claims("b"), took=0)
    await wait_until(lambda: worker.released == ["a", "b"])
