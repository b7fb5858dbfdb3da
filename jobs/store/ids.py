"""Row ids: UUID version 7 (RFC 9562), which sort by the time of their creation."""

import secrets
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from jobs.clock import Clock

_TAIL_BITS = 74
"""Bits of a version 7 id besides its 48 bits of time, its version and its variant."""


class TimeOrderedIds:
    """Creates ids, each greater than the one before, within one millisecond, too.

    Args:
        clock: The time of the ids.
        entropy: Returns an integer with a number of random bits.
    """

    def __init__(self, clock: Clock, entropy: Callable[[int], int] = secrets.randbits) -> None:
        self._clock = clock
        self._entropy = entropy
        self._last = 0

    def __call__(self) -> UUID:
        millis = int(self._clock.now().timestamp() * 1000)
        value = (millis << _TAIL_BITS) | self._entropy(_TAIL_BITS - 1)
        if value <= self._last:
            value = self._last + 1 + self._entropy(32)
        self._last = value
        return _with_version(value)


def first_id_at(moment: datetime) -> UUID:
    """Return the smallest id of a moment: no id created at that time or later is less."""
    return _with_version(int(moment.timestamp() * 1000) << _TAIL_BITS)


def _with_version(value: int) -> UUID:
    """Insert version 7 and the RFC's variant into a 122-bit number."""
    tail = value & ((1 << 62) - 1)
    middle = (value >> 62) & 0xFFF
    return UUID(int=(value >> _TAIL_BITS) << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | tail)
