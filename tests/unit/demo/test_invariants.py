"""Invariants of a run: states that calls explain, and counts that must be equal."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobs.demo.invariants import Invariant, unexplained
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
    count = len(attempts) if calls is None else calls
    return History(1, lead, enrolment, count, tuple(attempts))


def reason_for(group: History, campaign: CampaignStatus = CampaignStatus.COMPLETED) -> str | None:
    return unexplained(group, RetryTable(), campaign)


@pytest.mark.parametrize(
    "group",
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
def test_calls_explain_the_state(group: History) -> None:
    assert reason_for(group) is None


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, []), "done without a call"),
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, [NO_ANSWER]), "done after no-answer"),
        (history(EnrolmentStatus.EXHAUSTED, LeadStatus.CONVERTED, [CONVERTED]), "not done"),
        (history(EnrolmentStatus.DONE, LeadStatus.NEW, [CONVERTED]), "its calls imply converted"),
        (history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [CONVERTED], calls=2), "2 calls"),
        (
            history(EnrolmentStatus.DONE, LeadStatus.CONVERTED, [CONVERTED, CONVERTED]),
            "called again after a final call",
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
            "completed has no disposition",
        ),
        (
            history(EnrolmentStatus.RETRY_WAIT, LeadStatus.NEW, [NO_ANSWER]),
            "the campaign is completed, but the lead is still retry_wait",
        ),
    ],
)
def test_calls_contradict_the_state(group: History, reason: str) -> None:
    assert reason in (reason_for(group) or "")


def test_lead_may_wait_while_the_campaign_runs() -> None:
    waiting = history(EnrolmentStatus.RETRY_WAIT, LeadStatus.NEW, [NO_ANSWER])
    assert reason_for(waiting, CampaignStatus.RUNNING) is None


def test_invariant_with_a_detail_is_violated() -> None:
    invariant = Invariant("leads", 2, 2)
    assert invariant.holds
    assert not replace(invariant, right=3).holds
    assert not replace(invariant, detail="one is missing").holds
