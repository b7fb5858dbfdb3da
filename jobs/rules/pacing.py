"""How fast a campaign dials, and when it stops itself."""

import sys
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from jobs.rules.frozen import Frozen

_SLOWEST: Final = 1 / 60


class Pacing(Frozen):
    """None is no limit. The default pace is what Twilio gives an account: 1 call a second.

    max_concurrent: calls that are scheduled or in flight. calls_per_second: at least one a minute,
    since a campaign is looked at once a minute.
    """

    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    calls_per_second: Annotated[float, Field(ge=_SLOWEST, allow_inf_nan=False)] | None = 1.0


class Breaker(Frozen):
    """Pauses a campaign whose calls the carriers fail to put through.

    ratio: of carrier failures among the calls that ended within `window`, from `min_calls` on.
    """

    window: Annotated[timedelta, Field(gt=timedelta())] = timedelta(seconds=120)
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    min_calls: Annotated[int, Field(ge=1)] = 5

    def trips(self, carrier_failures: int, calls: int) -> bool:
        """Whether so many failures among so many calls pause the campaign."""
        return calls >= self.min_calls and carrier_failures >= self.ratio * calls


def slots(pacing: Pacing, in_flight: int, elapsed: timedelta) -> int:
    """How many calls may be claimed now.

    in_flight: calls that hold a slot. elapsed: since calls were last claimed, or the time that
    this claim is for. Without a limit the answer is `sys.maxsize`.
    """
    free = sys.maxsize
    if pacing.max_concurrent is not None:
        free = pacing.max_concurrent - in_flight
    if pacing.calls_per_second is not None:
        # Rounded first: 0.1 calls a second for 30 s are 3 calls, and not 2.9999999999999996.
        paced = round(pacing.calls_per_second * elapsed.total_seconds(), 6)
        free = min(free, int(paced))
    return max(0, free)
