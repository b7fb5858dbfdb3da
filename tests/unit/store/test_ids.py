"""Ids sort by the time they were made."""

import itertools
from datetime import UTC, datetime, timedelta

from jobs.store.ids import TimeOrderedIds
from jobs.testing.clock import FrozenClock

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_an_id_is_a_version_7_uuid_with_its_time() -> None:
    new_id = TimeOrderedIds(FrozenClock(START))()
    assert (new_id.version, new_id.variant) == (7, "specified in RFC 4122")
    assert new_id.int >> 80 == int(START.timestamp() * 1000)


def test_each_id_is_greater_than_the_one_before() -> None:
    clock = FrozenClock(START)
    new_id = TimeOrderedIds(clock)
    ids = [new_id() for _ in range(2000)]
    clock.advance(timedelta(milliseconds=1))
    ids += [new_id() for _ in range(10)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_keep_their_order_when_the_clock_goes_back() -> None:
    class Backwards(FrozenClock):
        moments = itertools.chain([START], itertools.repeat(START - timedelta(hours=1)))

        def now(self) -> datetime:
            return next(self.moments)

    new_id = TimeOrderedIds(Backwards(START))
    first, second, third = new_id(), new_id(), new_id()
    assert first < second < third


def test_the_same_clock_and_entropy_give_the_same_ids() -> None:
    def ids() -> list[str]:
        new_id = TimeOrderedIds(FrozenClock(START), entropy=lambda bits: bits)
        return [str(new_id()) for _ in range(3)]

    assert ids() == ids()
