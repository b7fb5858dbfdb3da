"""Capped exponential backoff, shared by everything that waits and tries again."""

from typing import Final

_MAX_EXPONENT: Final = 1000
"""Larger exponents overflow a float."""


def backoff_delay(n: int, first: float, cap: float) -> float:
    """Return the delay before retry number `n`: min(cap, first * 2**n).

    The function adds no jitter. Callers that need jitter scale the delay.

    Args:
        n: Number of the retry, counted from 0.
        first: Delay before retry 0, in seconds.
        cap: Longest delay, in seconds.

    Returns:
        The delay in seconds.
    """
    return min(cap, first * 2.0 ** min(n, _MAX_EXPONENT))
