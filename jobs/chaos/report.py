"""Figures and JSON report of a chaos run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson

from jobs.chaos.invariants import Facts
from jobs.chaos.recovery import Recovery, Span
from jobs.chaos.schedule import LEASE, Schedule
from jobs.demo.invariants import Invariant


@dataclass(frozen=True, slots=True)
class Report:
    """Report of one run.

    Attributes:
        schedule: The fault schedule.
        seconds: Real time of the whole run.
        spans: Actual time spans of the faults.
        figures: Counts, by name.
        recoveries: Recoveries of the jobs of workers that were killed or frozen.
        invariants: All invariants, violated or not.
    """

    schedule: Schedule
    seconds: float
    spans: Sequence[Span]
    figures: Mapping[str, int]
    recoveries: Sequence[Recovery]
    invariants: Sequence[Invariant]

    @property
    def faults(self) -> dict[str, int]:
        """Number of injected faults, by kind."""
        return dict(Counter(span.fault.kind.value for span in self.spans))

    @property
    def passed(self) -> bool:
        """True if all invariants hold."""
        return all(invariant.holds for invariant in self.invariants)

    @property
    def longest(self) -> float | None:
        """Seconds of the longest undisturbed recovery; None if there is none."""
        return max((recovery.seconds for recovery in self.undisturbed), default=None)

    @property
    def undisturbed(self) -> list[Recovery]:
        """Recoveries while Redis was up and another worker was available throughout."""
        return [recovery for recovery in self.recoveries if not recovery.is_disturbed(self.spans)]

    def as_json(self) -> bytes:
        """Return the report as an indented JSON object.

        Returns:
            JSON text. Its key `books` holds the invariants; `balances` is true where they hold.
        """
        content = {
            "seed": self.schedule.seed,
            "minutes": round(self.schedule.seconds / 60, 4),
            "flush": self.schedule.flush,
            "balances": self.passed,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
            "figures": dict(self.figures),
            "recoveries": {
                "count": len(self.recoveries),
                "jobs": sum(recovery.jobs for recovery in self.recoveries),
                "undisturbed": len(self.undisturbed),
                "longest_undisturbed": self.longest,
                "longest": max((recovery.seconds for recovery in self.recoveries), default=None),
                "two_leases": 2 * LEASE,
                "each": [
                    {
                        "fault": str(recovery.fault),
                        "at": recovery.fault.at,
                        "jobs": recovery.jobs,
                        "seconds": recovery.seconds,
                        "undisturbed": recovery in self.undisturbed,
                        "last": dict(recovery.last),
                    }
                    for recovery in self.recoveries
                ],
            },
            "books": [
                asdict(invariant) | {"balances": invariant.holds} for invariant in self.invariants
            ],
        }
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def figures(facts: Facts, resumed: int) -> dict[str, int]:
    """Return the counts of a run.

    Args:
        facts: Final state of the run.
        resumed: How often the campaign was resumed after the breaker paused it.

    Returns:
        Counts, by name.
    """
    provider, ledger = facts.provider, facts.ledger
    counts = {
        "leads": facts.totals.leads,
        "calls": facts.totals.attempts,
        "requests to the provider": provider.requests,
        "repeated requests for an accepted call": provider.repeated_keys,
        "requests without a response": provider.dropped + provider.unanswered,
        "requests refused": provider.refused,
        "callbacks": provider.delivered,
        "callback batches sent again": provider.failed_deliveries,
        "scripted jobs": len(facts.scripted),
        "breaker trips": resumed,
    }
    if ledger is not None:
        counts |= {
            "jobs enqueued": ledger.enqueued,
            "jobs done": ledger.done,
            "jobs dead-lettered": ledger.dead,
            "jobs discarded": ledger.discarded,
            "jobs ended, by worker counters": facts.counted,
            "jobs recovered from lost workers": ledger.recovered,
        }
    return counts
