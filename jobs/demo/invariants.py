"""Invariants of a run: independent counts of the same events must be equal."""

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
    """Counts of a lead import.

    Attributes:
        rows: Rows of the lead file, without the header.
        expected: Distinct usable phone numbers in the file.
        stored: Leads in the database.
        duplicates: Rows with a number that is already stored.
        rejected: Rows that cannot become a lead.
    """

    rows: int
    expected: int
    stored: int
    duplicates: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Final state of a demo run, the input of `check_invariants`.

    Attributes:
        imported: Counts of the lead import.
        status: Status of the campaign.
        retries: Redial rules of the campaign.
        totals: Totals of the campaign's calls and enrollments.
        histories: Leads, grouped by state and calls.
        provider: Counts kept by the voice provider.
        report: The campaign's report.
        unfinished: Ids of jobs that have not ended.
        outbox: Unpublished outbox rows.
        dead_letters: All dead letters.
        dataset: Sums of the dataset, if the run is a replay.
    """

    imported: Imported
    status: CampaignStatus
    retries: RetryTable
    totals: CampaignTotals
    histories: Sequence[History]
    provider: ProviderRecords
    report: Report
    unfinished: Collection[str]
    outbox: int
    dead_letters: Sequence[DeadLetter]
    dataset: FileSums | None


@dataclass(frozen=True, slots=True)
class Invariant:
    """Two counts that must be equal.

    Attributes:
        name: Description of both counts.
        left: First count.
        right: Second count.
        detail: Explanation of a violation; empty if there is none.
    """

    name: str
    left: int
    right: int
    detail: str = ""

    @property
    def holds(self) -> bool:
        """True if the counts are equal and nothing else is wrong."""
        return self.left == self.right and not self.detail


def check_invariants(facts: Facts) -> list[Invariant]:
    """Check all invariants of a demo run.

    Args:
        facts: Final state of the run.

    Returns:
        Every invariant, violated or not.
    """
    return [
        *_leads(facts),
        *calls(facts.totals, facts.provider),
        *_jobs(facts),
        *_report(facts),
        *_dataset(facts),
    ]


def _leads(facts: Facts) -> Iterator[Invariant]:
    imported, totals = facts.imported, facts.totals
    accounted = imported.stored + imported.duplicates + imported.rejected
    yield Invariant("rows read = leads + duplicates + rejected rows", imported.rows, accounted)
    yield Invariant("usable numbers = leads stored", imported.expected, imported.stored)
    yield Invariant("leads stored = leads enrolled", imported.stored, totals.leads)
    yield explained(totals.leads, facts.histories, facts.retries, facts.status)


def explained(
    enrolled: int, histories: Sequence[History], retries: RetryTable, campaign: CampaignStatus
) -> Invariant:
    """Check that the calls of each lead explain its state.

    Args:
        enrolled: Number of enrolled leads.
        histories: Leads, grouped by state and calls.
        retries: Redial rules of the campaign.
        campaign: Status of the campaign.

    Returns:
        The invariant; its detail has the first three unexplained groups.
    """
    wrong = [
        f"{history.leads} leads: {why}"
        for history in histories
        if (why := unexplained(history, retries, campaign)) is not None
    ]
    return Invariant(
        "leads enrolled = leads whose calls explain their state",
        enrolled,
        sum(history.leads for history in histories) if not wrong else -1,
        "; ".join(wrong[:3]),
    )


def calls(totals: CampaignTotals, provider: ProviderRecords) -> Iterator[Invariant]:
    """Check that the database and the provider agree on the calls.

    Args:
        totals: Totals from the database.
        provider: Counts kept by the voice provider.

    Returns:
        The invariants.
    """
    yield Invariant(
        "calls placed = calls accepted by the provider", totals.attempts, provider.accepted
    )
    yield Invariant("calls placed = calls ended", totals.attempts, totals.ended)
    yield Invariant(
        "calls accepted by the provider = calls it ended", provider.accepted, provider.ended
    )
    yield Invariant("attempts dialed twice", provider.repeated_keys, 0)


def _jobs(facts: Facts) -> Iterator[Invariant]:
    unfinished = facts.unfinished
    yield Invariant("jobs lost", len(unfinished), 0, ", ".join(sorted(unfinished)[:3]))
    yield Invariant("unpublished outbox rows", facts.outbox, 0)
    yield Invariant("dead letters", len(facts.dead_letters), 0)


def _report(facts: Facts) -> Iterator[Invariant]:
    disagreements = check_books(facts.report)
    yield Invariant(
        "inconsistent figures in the report", len(disagreements), 0, "; ".join(disagreements)
    )


def _dataset(facts: Facts) -> Iterator[Invariant]:
    if facts.dataset is None:
        return
    total, sums = facts.dataset.total, facts.report.totals.sums
    yield Invariant("leads: dataset = report", total.leads, facts.report.totals.leads)
    yield Invariant("attempts: dataset = report", total.attempts, sums.attempts)
    yield Invariant("conversions: dataset = report", total.conversions, sums.conversions)
    yield Invariant("seconds: dataset = report", total.seconds, sums.seconds)
    for column, values in facts.dataset.by_column.items():
        if column in facts.report.columns_left_out:
            continue
        expected = {
            value: (item.leads, item.attempts, item.conversions, item.seconds)
            for value, item in values.items()
        }
        reported = {
            item.value: (item.leads, item.attempts, item.conversions, item.seconds)
            for item in facts.report.breakdowns.get(column, ())
        }
        yield Invariant(f"{column}: dataset = report, per value", *_compare(expected, reported))


def _compare(
    expected: Mapping[str, object], reported: Mapping[str, object]
) -> tuple[int, int, str]:
    """Return the number of values, the number that agree, and the first that does not."""
    values = sorted(expected.keys() | reported.keys())
    wrong = [value for value in values if expected.get(value) != reported.get(value)]
    detail = ""
    if wrong:
        detail = f"{wrong[0]!r}: {expected.get(wrong[0])} and {reported.get(wrong[0])}"
    return len(values), len(values) - len(wrong), detail


ENDED: Final = frozenset({EnrolmentStatus.DONE, EnrolmentStatus.EXHAUSTED, EnrolmentStatus.REMOVED})
CALLED_AGAIN: Final = frozenset({EnrolmentStatus.RETRY_WAIT, EnrolmentStatus.CALLBACK})
NEVER_CALLED: Final = frozenset(
    {EnrolmentStatus.QUEUED, EnrolmentStatus.PAUSED, EnrolmentStatus.REMOVED}
)
WAITING: Final = CALLED_AGAIN | {
    EnrolmentStatus.QUEUED,
    EnrolmentStatus.PAUSED,
    EnrolmentStatus.EXHAUSTED,
}
NOT_PLACED: Final = frozenset(
    {CallStatus.SUPPRESSED, CallStatus.EXPIRED, CallStatus.CANCELED, CallStatus.FAILED}
)
"""Statuses of calls that a rule or the provider refused; such a call has no disposition."""


def unexplained(history: History, retries: RetryTable, campaign: CampaignStatus) -> str | None:
    """Explain why leads cannot be in their state.

    Args:
        history: Leads with the same state and calls.
        retries: Redial rules of the campaign.
        campaign: Status of the campaign.

    Returns:
        The contradiction, or None if the calls explain the state.
    """
    attempts = history.attempts
    if len(attempts) != history.calls:
        return f"{history.calls} calls counted, {len(attempts)} found"
    for attempt in attempts:
        if not CALL.is_terminal(attempt.status):
            return f"a call is still {attempt.status}"
        if attempt.disposition is None and attempt.status not in NOT_PLACED:
            return f"a call that is {attempt.status} has no disposition"
    if campaign is CampaignStatus.COMPLETED and history.enrolment not in ENDED:
        return f"the campaign is completed, but the lead is still {history.enrolment}"
    return _wrong_enrolment(history, retries) or _wrong_lead(history)


def _wrong_enrolment(history: History, retries: RetryTable) -> str | None:
    ends = [_consequence(attempt) for attempt in history.attempts]
    if any(end is not None and end.enrolment not in CALLED_AGAIN for end in ends[:-1]):
        return "called again after a final call"
    if not ends:
        return None if history.enrolment in NEVER_CALLED else f"{history.enrolment} without a call"
    last, end = history.attempts[-1], ends[-1]
    if end is not None and end.enrolment not in CALLED_AGAIN:
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
    if expected is None or history.lead is expected or _was_ahead(history.lead, expected):
        return None
    return f"the lead is {history.lead}, but its calls imply {expected}"


def _consequence(attempt: Attempt) -> AfterCall | None:
    """Return the effect of a call, or None if it was never placed."""
    if attempt.disposition is None:
        return None
    return after_call(attempt.disposition, attempt.outcome)


def _was_ahead(lead: LeadStatus, expected: LeadStatus) -> bool:
    """Check whether the lead was further along before the calls, which never move a lead back."""
    return move_lead(lead, expected) is lead
