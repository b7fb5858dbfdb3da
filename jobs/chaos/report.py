"""What a run has to tell."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson

from jobs.chaos.invariants import Facts
from jobs.chaos.recovery import Recovery, Span
from jobs.chaos.schedule import LEASE, Schedule
from jobs.demo.invariants import Entry


@dataclass(frozen=True, slots=True)
class Report:
    """One run. seconds: all of it, in real time; spans: of the faults; figures: by name.

    recoveries: of each worker that was killed or frozen while it held jobs.
    """

    schedule: Schedule
    seconds: float
    spans: Sequence[Span]
    figures: Mapping[str, int]
    recoveries: Sequence[Recovery]
    books: Sequence[Entry]

    @property
    def faults(self) -> dict[str, int]:
        """How many of each kind have come about."""
        return dict(Counter(span.fault.kind.value for span in self.spans))

    @property
    def balances(self) -> bool:
        return all(entry.balances for entry in self.books)

    @property
    def longest(self) -> float | None:
        """Seconds, of the recoveries that nothing else disturbed."""
        return max((one.seconds for one in self.undisturbed), default=None)

    @property
    def undisturbed(self) -> list[Recovery]:
        """The recoveries while Redis was up, and another worker at work all the time."""
        return [one for one in self.recoveries if not one.is_disturbed(self.spans)]

    def as_json(self) -> bytes:
        """All of it, with `balances` and the longest recoveries."""
        told = {
            "seed": self.schedule.seed,
            "minutes": round(self.schedule.seconds / 60, 4),
            "flush": self.schedule.flush,
            "balances": self.balances,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
            "figures": dict(self.figures),
            "recoveries": {
                "count": len(self.recoveries),
                "jobs": sum(one.jobs for one in self.recoveries),
                "undisturbed": len(self.undisturbed),
                "longest_undisturbed": self.longest,
                "longest": max((one.seconds for one in self.recoveries), default=None),
                "two_leases": 2 * LEASE,
                "each": [
                    {
                        "fault": str(one.fault),
                        "at": one.fault.at,
                        "jobs": one.jobs,
                        "seconds": one.seconds,
                        "undisturbed": one in self.undisturbed,
                        "last": dict(one.last),
                    }
                    for one in self.recoveries
                ],
            },
            "books": [asdict(entry) | {"balances": entry.balances} for entry in self.books],
        }
        return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def figures(facts: Facts, resumed: int) -> dict[str, int]:
    """What went on, in numbers."""
    provider, ledger = facts.provider, facts.ledger
    told = {
        "leads": facts.totals.leads,
        "calls": facts.totals.attempts,
        "requests to the provider": provider.requests,
        "requests for a call that was taken before": provider.repeated_keys,
        "requests without an answer": provider.dropped + provider.unanswered,
        "requests refused": provider.refused,
        "callbacks": provider.delivered,
        "callbacks that had to be sent again": provider.failed_deliveries,
        "scripted jobs": len(facts.scripts),
        "breaker tripped": resumed,
    }
    if ledger is not None:
        told |= {
            "jobs enqueued": ledger.enqueued,
            "jobs done": ledger.done,
            "jobs dead-lettered": ledger.dead,
            "jobs discarded": ledger.discarded,
            "jobs ended, as the workers counted": facts.counted,
            "jobs that ran again since their worker fell silent": ledger.recovered,
        }
    return told
