"""Row ids: UUID version 7 (RFC 9562), which sort by the time they were made."""

import secrets
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from jobs.clock import Clock

_TAIL_BITS = 74
"""What a version 7 id holds besides its 48 bits of time, its version and its variant."""


class TimeOrderedIds:
    """Makes ids, each greater than the one before, also within one millisecond.

    entropy: answers an integer of that many random bits.
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
    """No id that was made at `moment`, or later, is less."""
    return _with_version(int(moment.timestamp() * 1000) << _TAIL_BITS)


def _with_version(value: int) -> UUID:
    """Puts version 7 and the RFC's variant between the bits of a 122-bit number."""
    tail = value & ((1 << 62) - 1)
    middle = (value >> 62) & 0xFFF
    return UUID(int=(value >> _TAIL_BITS) << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | tail)
