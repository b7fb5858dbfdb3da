"""Calling pace of a campaign, and the circuit breaker that pauses it."""

import sys
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from jobs.rules.frozen import Frozen

_MIN_RATE: Final = 1 / 60
"""Calls per second: one call per scheduling run, and a campaign is scheduled once per minute."""


class Pacing(Frozen):
    """Limits on the pace of a campaign; None means no limit.

    Attributes:
        max_concurrent: Calls that are scheduled or in flight.
        calls_per_second: Calls per second, at least 1/60. The default is Twilio's limit for a new
            account.
    """

    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    calls_per_second: Annotated[float, Field(ge=_MIN_RATE, allow_inf_nan=False)] | None = 1.0


class Breaker(Frozen):
    """Circuit breaker: pauses a campaign while carriers fail to connect its calls.

    Attributes:
        window: Period over which ended calls are counted.
        ratio: Share of carrier failures at which the breaker trips.
        min_calls: Ended calls below which the breaker never trips.
    """

    window: Annotated[timedelta, Field(gt=timedelta())] = timedelta(seconds=120)
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_calls: Annotated[int, Field(ge=1)] = 5

    def trips(self, carrier_failures: int, calls: int) -> bool:
        """Return True if `carrier_failures` among `calls` ended calls pause the campaign."""
        return calls >= self.min_calls and carrier_failures >= self.ratio * calls


def calls_allowed(pacing: Pacing, in_flight: int, elapsed: timedelta) -> int:
    """Return the number of calls that may be scheduled now; `sys.maxsize` without a limit.

    Args:
        pacing: Limits of the campaign.
        in_flight: Calls that are scheduled or in flight.
        elapsed: Period that the calls are for, at `calls_per_second`.
    """
    allowed = sys.maxsize
    if pacing.max_concurrent is not None:
        allowed = pacing.max_concurrent - in_flight
    if pacing.calls_per_second is not None:
        # 0.1 calls per second for 30 s are 3 calls, but 2.9999999999999996 in floating point.
        paced = round(pacing.calls_per_second * elapsed.total_seconds(), 6)
        allowed = min(allowed, int(paced))
    return max(0, allowed)
