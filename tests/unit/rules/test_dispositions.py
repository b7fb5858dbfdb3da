"""Dispositions of ended calls, and their effects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ConflictError
from jobs.rules.dispositions import (
    MACHINES,
    AnsweredBy,
    CallOutcome,
    Disposition,
    after_call,
    disposition_of,
    move_lead,
)
from jobs.rules.states import CALL_TERMINAL, LEAD, CallStatus, EnrollmentStatus, LeadStatus

D, O, L, E = Disposition, CallOutcome, LeadStatus, EnrollmentStatus  # noqa: E741  # a table's columns

statuses = st.sampled_from(sorted(CALL_TERMINAL))
answerers = st.none() | st.sampled_from(AnsweredBy)
outcomes = st.none() | st.sampled_from(CallOutcome)
sip_codes = st.none() | st.integers(100, 699)


@pytest.mark.parametrize(
    ("status", "sip_code", "disposition"),
    [
        ("busy", 486, D.BUSY),
        ("busy", 600, D.BUSY),
        ("busy", None, D.BUSY),
        ("busy", 603, D.DECLINED),
        ("failed", 603, D.DECLINED),
        ("no-answer", 408, D.NO_ANSWER),
        ("no-answer", 480, D.NO_ANSWER),
        ("no-answer", 487, D.NO_ANSWER),
        ("failed", 404, D.UNALLOCATED),
        ("failed", 410, D.UNALLOCATED),
        ("failed", 604, D.UNALLOCATED),
        ("failed", 500, D.CARRIER_FAILURE),
        ("failed", 503, D.CARRIER_FAILURE),
        ("failed", 599, D.CARRIER_FAILURE),
        ("failed", None, D.CARRIER_FAILURE),
        ("canceled", 487, D.CANCELED),
        ("canceled", 503, D.CANCELED),
        ("suppressed", None, D.SUPPRESSED),
        ("expired", None, D.EXPIRED),
    ],
)
def test_unanswered_call_gets_its_disposition_from_sip_code_or_status(
    status: str, sip_code: int | None, disposition: Disposition
) -> None:
    assert disposition_of(CallStatus(status), None, None, sip_code) is disposition


@pytest.mark.parametrize(
    ("answered_by", "outcome", "disposition"),
    [
        (AnsweredBy.HUMAN, None, D.ANSWERED),
        (None, None, D.ANSWERED),
        (AnsweredBy.UNKNOWN, None, D.ANSWERED),
        (AnsweredBy.HUMAN, O.CONVERTED, D.ANSWERED),
        (AnsweredBy.HUMAN, O.CALLBACK, D.CALLBACK),
        (AnsweredBy.HUMAN, O.DO_NOT_CALL, D.DO_NOT_CALL),
        (AnsweredBy.MACHINE_START, None, D.VOICEMAIL),
        (AnsweredBy.FAX, O.OTHER, D.VOICEMAIL),
        (AnsweredBy.MACHINE_END_BEEP, O.DO_NOT_CALL, D.DO_NOT_CALL),
        (AnsweredBy.MACHINE_START, O.INTERESTED, D.ANSWERED),
    ],
)
def test_answered_call_gets_its_disposition_from_outcome_or_machine_detection(
    answered_by: AnsweredBy | None, outcome: CallOutcome | None, disposition: Disposition
) -> None:
    assert disposition_of(CallStatus.COMPLETED, answered_by, outcome, 200) is disposition


def test_every_detection_result_but_human_and_unknown_is_a_machine() -> None:
    assert set(AnsweredBy) - MACHINES == {AnsweredBy.HUMAN, AnsweredBy.UNKNOWN}


def test_call_in_flight_has_no_disposition() -> None:
    with pytest.raises(ConflictError, match="ringing"):
        disposition_of(CallStatus.RINGING, None, None, None)


@given(statuses, answerers, outcomes, sip_codes)
def test_every_ended_call_has_a_disposition_and_effects(
    status: CallStatus,
    answered_by: AnsweredBy | None,
    outcome: CallOutcome | None,
    sip_code: int | None,
) -> None:
    disposition = disposition_of(status, answered_by, outcome, sip_code)
    after = after_call(disposition, outcome)
    assert after.suppress is (disposition is D.DO_NOT_CALL)
    assert after.enrollment in (E.DONE, E.CALLBACK, E.REMOVED, E.RETRY_WAIT)


@pytest.mark.parametrize(
    ("disposition", "outcome", "lead", "enrollment"),
    [
        (D.ANSWERED, O.APPOINTMENT, L.QUALIFIED, E.DONE),
        (D.ANSWERED, O.INTERESTED, L.QUALIFIED, E.DONE),
        (D.ANSWERED, O.CONVERTED, L.CONVERTED, E.DONE),
        (D.ANSWERED, O.NOT_INTERESTED, L.LOST, E.DONE),
        (D.ANSWERED, O.OTHER, L.CONTACTED, E.DONE),
        (D.ANSWERED, None, L.CONTACTED, E.DONE),
        (D.CALLBACK, O.CALLBACK, L.CONTACTED, E.CALLBACK),
        (D.DO_NOT_CALL, O.DO_NOT_CALL, L.DNC, E.REMOVED),
        (D.UNALLOCATED, None, L.INVALID, E.REMOVED),
        (D.VOICEMAIL, None, None, E.RETRY_WAIT),
        (D.BUSY, None, None, E.RETRY_WAIT),
        (D.NO_ANSWER, None, None, E.RETRY_WAIT),
        (D.NO_ANSWER, O.CONVERTED, None, E.RETRY_WAIT),
        (D.DECLINED, None, None, E.RETRY_WAIT),
        (D.CARRIER_FAILURE, None, None, E.RETRY_WAIT),
        (D.EXPIRED, None, None, E.RETRY_WAIT),
        (D.SUPPRESSED, None, None, E.REMOVED),
        (D.CANCELED, None, None, E.REMOVED),
    ],
)
def test_disposition_and_outcome_decide_lead_and_enrollment(
    disposition: Disposition,
    outcome: CallOutcome | None,
    lead: LeadStatus | None,
    enrollment: EnrollmentStatus,
) -> None:
    after = after_call(disposition, outcome)
    assert (after.lead_status, after.enrollment) == (lead, enrollment)


@pytest.mark.parametrize("old", [L.QUALIFIED, L.CONVERTED])
@pytest.mark.parametrize("target", [L.CONTACTED, L.QUALIFIED])
def test_qualified_or_converted_lead_is_not_moved_backward(
    old: LeadStatus, target: LeadStatus
) -> None:
    assert move_lead(old, target) is old


@given(st.sampled_from(LeadStatus), st.sampled_from(LeadStatus))
def test_call_moves_a_lead_only_by_legal_transitions(old: LeadStatus, target: LeadStatus) -> None:
    new = move_lead(old, target)
    assert new in (old, target)
    assert new is old or LEAD.can(old, new)
    assert move_lead(new, target) is new


@given(st.sampled_from(LeadStatus))
def test_do_not_call_applies_to_every_lead_status(old: LeadStatus) -> None:
    assert move_lead(old, L.DNC) is L.DNC
