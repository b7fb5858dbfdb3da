"""Policy of a campaign: all calling rules, as data."""

from jobs.rules.caps import Caps
from jobs.rules.frozen import Frozen
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.redial import RetryTable
from jobs.rules.windows import DEFAULT_WINDOWS, WindowRules


class CampaignPolicy(Frozen):
    """Calling rules of one campaign, stored with it as JSON; rules left out have their defaults.

    Attributes:
        windows: Calling windows by region.
        retries: Retry rules by disposition.
        caps: Maximum numbers of attempts.
        pacing: Limits on the pace.
        breaker: Circuit breaker on carrier failures.
    """

    windows: WindowRules = DEFAULT_WINDOWS
    retries: RetryTable = RetryTable()
    caps: Caps = Caps()
    pacing: Pacing = Pacing()
    breaker: Breaker = Breaker()
