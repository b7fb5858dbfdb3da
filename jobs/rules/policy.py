"""What a campaign may set: every rule of dialling, as data."""

from jobs.rules.caps import Caps
from jobs.rules.frozen import Frozen
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.redial import RetryTable
from jobs.rules.windows import DEFAULT_WINDOWS, WindowRules


class CampaignPolicy(Frozen):
    """The rules of one campaign, stored with it as JSON; what it leaves out is the default."""

    windows: WindowRules = DEFAULT_WINDOWS
    retries: RetryTable = RetryTable()
    caps: Caps = Caps()
    pacing: Pacing = Pacing()
    breaker: Breaker = Breaker()
