"""The books of a run: what went in must have come out, as counted by different parties."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jobs.analytics.invariants import check_books
from jobs.analytics.model import Report
from jobs.demo.dataset import FileSums
from jobs.engine import DeadLetter
from jobs.rules.dispositions import AfterCall, after_call, move_lead
from jobs.rules.redial import RetryTable
from jobs.rules.states import CALL, CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Attempt, CampaignTotals, History
from jobs.voice.simulator.provider import ProviderRecords


@dataclass(frozen=True, slots=True)
class Imported:
    """The leads on their way in. expected: usable numbers in the file, each counted once."""

    rows: int
    expected: int
    stored: int
    duplicates: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the books are made of."""

    imported: Imported
    status: CampaignStatus
    retries: RetryTable
    totals: CampaignTotals
    histories: Sequence[History]
    provider: ProviderRecords
    report: Report
    left: Collection[str]
    """Ids of jobs that are not done."""
    outbox: int
    dead: Sequence[DeadLetter]
    file: FileSums | None


@dataclass(frozen=True, slots=True)
class Entry:
    """Two figures that must be equal. detail: what is behind a difference."""

    name: str
    left: int
    right: int
    detail: str = ""

    @property
    def balances(self) -> bool:
        return self.left == self.right and not self.detail


def entries(facts: Facts) -> list[Entry]:
    """The books, one line after the other."""
    return [
        *_leads(facts),
        *calls(facts.totals, facts.provider),
        *_jobs(facts),
        *_report(facts),
        *_file(facts),
    ]


def _leads(facts: Facts) -> Iterator[Entry]:
    imported, totals = facts.imported, facts.totals
    accounted = imported.stored + imported.duplicates + imported.rejected
    yield Entry("rows in = leads + duplicates + rejected", imported.rows, accounted)
    yield Entry("usable numbers in = leads stored", imported.expected, imported.stored)
    yield Entry("leads stored = leads enrolled", imported.stored, totals.leads)
    yield explained(totals.leads, facts.histories, facts.retries, facts.status)


def explained(
    enrolled: int, histories: Sequence[History], retries: RetryTable, campaign: CampaignStatus
) -> Entry:
    """Whether each lead of a campaign is where its calls lead to."""
    wrong = [
        f"{history.leads} leads: {why}"
        for history in histories
        if (why := unexplained(history, retries, campaign)) is not None
    ]
    return Entry(
        "leads enrolled = leads in a state that their calls explain",
        enrolled,
        sum(history.leads for history in histories) if not wrong else -1,
        "; ".join(wrong[:3]),
    )


def calls(totals: CampaignTotals, provider: ProviderRecords) -> Iterator[Entry]:
    """Whether we and the provider agree on what was dialled."""
    yield Entry("calls placed = calls the provider took", totals.attempts, provider.accepted)
    yield Entry("calls placed = calls ended", totals.attempts, totals.ended)
    yield Entry("calls the provider took = calls it ended", provider.accepted, provider.ended)
    yield Entry("attempts dialled twice", provider.repeated_keys, 0)


def _jobs(facts: Facts) -> Iterator[Entry]:
    yield Entry("jobs lost", len(facts.left), 0, ", ".join(sorted(facts.left)[:3]))
    yield Entry("follow-ups left in the outbox", facts.outbox, 0)
    yield Entry("dead letters", len(facts.dead), 0)


def _report(facts: Facts) -> Iterator[Entry]:
    disagreements = check_books(facts.report)
    yield Entry(
        "figures of the report that disagree", len(disagreements), 0, "; ".join(disagreements)
    )


def _file(facts: Facts) -> Iterator[Entry]:
    if facts.file is None:
        return
    total, sums = facts.file.total, facts.report.totals.sums
    yield Entry("leads: file = report", total.leads, facts.report.totals.leads)
    yield Entry("attempts: file = report", total.attempts, sums.attempts)
    yield Entry("conversions: file = report", total.conversions, sums.conversions)
    yield Entry("seconds: file = report", total.seconds, sums.seconds)
    for column, values in facts.file.by_column.items():
        if column in facts.report.columns_left_out:
            continue
        expected = {
            value: (one.leads, one.attempts, one.conversions, one.seconds)
            for value, one in values.items()
        }
        found = {
            one.value: (one.leads, one.attempts, one.conversions, one.seconds)
            for one in facts.report.breakdowns.get(column, ())
        }
        yield Entry(f"{column}: file = report, value by value", *_agreeing(expected, found))


def _agreeing(expected: Mapping[str, object], found: Mapping[str, object]) -> tuple[int, int, str]:
    """How many values there are, how many of them agree, and the first that does not."""
    values = sorted(expected.keys() | found.keys())
    wrong = [value for value in values if expected.get(value) != found.get(value)]
    detail = ""
    if wrong:
        detail = f"{wrong[0]!r}: {expected.get(wrong[0])} and {found.get(wrong[0])}"
    return len(values), len(values) - len(wrong), detail


ENDED: Final = frozenset({EnrolmentStatus.DONE, EnrolmentStatus.EXHAUSTED, EnrolmentStatus.REMOVED})
AGAIN: Final = frozenset({EnrolmentStatus.RETRY_WAIT, EnrolmentStatus.CALLBACK})
NEVER: Final = frozenset({EnrolmentStatus.QUEUED, EnrolmentStatus.PAUSED, EnrolmentStatus.REMOVED})
WAITING: Final = AGAIN | {
    EnrolmentStatus.QUEUED,
    EnrolmentStatus.PAUSED,
    EnrolmentStatus.EXHAUSTED,
}
NOT_PLACED: Final = frozenset(
    {CallStatus.SUPPRESSED, CallStatus.EXPIRED, CallStatus.CANCELED, CallStatus.FAILED}
)
"""Ends of calls that were refused, by us or by the provider; such a call has no disposition."""


def unexplained(history: History, retries: RetryTable, campaign: CampaignStatus) -> str | None:
    """Why these leads cannot be in the state they are in; None when their calls explain it."""
    attempts = history.attempts
    if len(attempts) != history.calls:
        return f"{history.calls} calls counted, {len(attempts)} there"
    for one in attempts:
        if not CALL.is_terminal(one.status):
            return f"a call is still {one.status}"
        if one.disposition is None and one.status not in NOT_PLACED:
            return f"the end of a call that is {one.status} was not carried over"
    if campaign is CampaignStatus.COMPLETED and history.enrolment not in ENDED:
        return f"the campaign is completed, and the lead still {history.enrolment}"
    return _wrong_enrolment(history, retries) or _wrong_lead(history)


def _wrong_enrolment(history: History, retries: RetryTable) -> str | None:
    ends = [_consequence(one) for one in history.attempts]
    if any(end is not None and end.enrolment not in AGAIN for end in ends[:-1]):
        return "called again after a call that ended it"
    if not ends:
        return None if history.enrolment in NEVER else f"{history.enrolment} without any call"
    last, end = history.attempts[-1], ends[-1]
    if end is not None and end.enrolment not in AGAIN:
        right = history.enrolment is end.enrolment
        return None if right else f"{history.enrolment}, not {end.enrolment}"
    if end is None:
        allowed = WAITING | {EnrolmentStatus.REMOVED}
    elif last.disposition is None or retries.rule(last.disposition) is None:
        allowed = frozenset({EnrolmentStatus.EXHAUSTED})
    else:
        allowed = WAITING
    return None if history.enrolment in allowed else f"{history.enrolment} after {last.status}"


def _wrong_lead(history: History) -> str | None:
    expected = None
    for end in map(_consequence, history.attempts):
        if end is not None and end.lead_status is not None:
            target = end.lead_status
            expected = target if expected is None else move_lead(expected, target)
    if expected is None or history.lead is expected or _was_better(history.lead, expected):
        return None
    return f"the lead is {history.lead}, its calls say {expected}"


def _consequence(attempt: Attempt) -> AfterCall | None:
    """What a call changes; None for one that was never placed."""
    if attempt.disposition is None:
        return None
    return after_call(attempt.disposition, attempt.outcome)


def _was_better(lead: LeadStatus, expected: LeadStatus) -> bool:
    """Whether the lead had gone further before the call, which never moves a lead back."""
    return move_lead(lead, expected) is lead
