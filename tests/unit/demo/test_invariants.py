"""The books: what explains a lead's state, and which figures must be equal."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobs.demo.invariants import Entry, unexplained
from jobs.rules.dispositions import CallOutcome, Disposition
from jobs.rules.redial import RetryTable
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Attempt, History

NO_ANSWER = Attempt(CallStatus.NO_ANSWER, Disposition.NO_ANSWER, None)
CONVERTED = Attempt(CallStatus.COMPLETED, Disposition.ANSWERED, CallOutcome.CONVERTED)
DO_NOT_CALL = Attempt(CallStatus.COMPLETED, Disposition.DO_NOT_CALL, CallOutcome.DO_NOT_CALL)
EXPIRED = Attempt(CallStatus.EXPIRED, None, None)


def history(
    enrolment: EnrolmentStatus,
    lead: LeadStatus,
    attempts: Sequence[Attempt],
    calls: int | None = None,
) -> History:
    made = len(attempts) if calls is None else calls
    return History(1, lead, enrolment, made, tuple(attempts))


def why(one: History, campaign: CampaignStatus = CampaignStatus.COMPLETED) -> str | None:
    return unexplained(one, RetryTable(), campaign)


@pytest.mark.parametrize(
    "one",
    [
        history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [CONVERTED]),
        history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [NO_ANSWER, EXPIRED, CONVERTED]),
        history(EnrolmentStatus.EXHAUSTED, LeadStatus.NEW, [NO_ANSWER, NO_ANSWER]),
        history(EnrolmentStatus.EXHAUSTED, LeadStatus.QUALIFIED, [NO_ANSWER]),
        history(EnrolmentStatus.REMOVED, LeadStatus.DNC, [DO_NOT_CALL]),
        history(EnrolmentStatus.REMOVED, LeadStatus.NEW, []),
        history(EnrolmentStatus.REMOVED, LeadStatus.DNC, [EXPIRED]),
    ],
)
def test_calls_explain_these_states(one: History) -> None:
    assert why(one) is None


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, []), "done without any call"),
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, [NO_ANSWER]), "done after no-answer"),
        (history(EnrolmentStatus.EXHAUSTED, LeadStatus.CONVERTED, [CONVERTED]), "not done"),
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, [CONVERTED]), "its calls say converted"),
        (history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [CONVERTED], calls=2), "2 calls"),
        (
            history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [CONVERTED, CONVERTED]),
            "called again after a call that ended it",
        ),
        (
            history(
                EnrolmentStatus.CALLING,
                LeadStatus.NEW,
                [Attempt(CallStatus.RINGING, None, None)],
            ),
            "still ringing",
        ),
        (
            history(
                EnrolmentStatus.CALLING,
                LeadStatus.NEW,
                [Attempt(CallStatus.COMPLETED, None, CallOutcome.CONVERTED)],
            ),
            "was not carried over",
        ),
        (
            history(EnrolmentStatus.RETRY_WAIT, LeadStatus.NEW, [NO_ANSWER]),
            "the campaign is completed, and the lead still retry_wait",
        ),
    ],
)
def test_calls_do_not_explain_these(one: History, reason: str) -> None:
    assert reason in (why(one) or "")


def test_a_lead_may_wait_while_the_campaign_runs() -> None:
    waiting = history(EnrolmentStatus.RETRY_WAIT, LeadStatus.NEW, [NO_ANSWER])
    assert why(waiting, CampaignStatus.RUNNING) is None


def test_a_detail_upsets_the_balance_too() -> None:
    entry = Entry("leads", 2, 2)
    assert entry.balances
    assert not replace(entry, right=3).balances
    assert not replace(entry, detail="one is missing").balances
