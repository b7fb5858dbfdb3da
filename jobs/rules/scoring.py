"""How promising a lead is: points by a rule set that is data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evidence:
    """A rule that gave points, and what it saw."""

    rule: str
    points: int
    evidence: str
