"""The state machines, compared with the tables of the domain as it writes them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ConflictError, ValidationError
from jobs.rules.states import (
    CALL,
    CALL_IN_FLIGHT,
    CALL_TERMINAL,
    CAMPAIGN,
    ENROLMENT,
    LEAD,
    CallStatus,
    CampaignStatus,
    EnrolmentStatus,
    LeadStatus,
    StateMachine,
    consent,
    reopen,
)

ENDS = "completed busy no-answer failed canceled"
TABLES: dict[str, tuple[StateMachine[Any], dict[str, str]]] = {
    "call": (
        CALL,
        {
            "scheduled": "dialing canceled suppressed expired",
            "dialing": f"queued initiated ringing in-progress {ENDS} unknown",
            "unknown": f"queued initiated ringing in-progress {ENDS}",
            "queued": f"initiated ringing in-progress {ENDS}",
            "initiated": f"ringing in-progress {ENDS}",
            "ringing": f"in-progress {ENDS}",
            "in-progress": "completed failed",
        },
    ),
    "lead": (
        LEAD,
        {
            "new": "contacted qualified unqualified converted lost invalid dnc",
            "contacted": "contacted qualified unqualified converted lost invalid dnc",
            "unqualified": "contacted qualified unqualified converted lost invalid dnc",
            "qualified": "converted lost unqualified invalid dnc",
            "converted": "dnc",
            "lost": "dnc",
            "invalid": "dnc",
        },
    ),
    "enrolment": (
        ENROLMENT,
        {
            "queued": "calling paused removed",
            "paused": "queued removed",
            "calling": "retry_wait callback done exhausted removed",
            "retry_wait": "queued calling paused exhausted removed",
            "callback": "queued calling paused exhausted removed",
        },
    ),
    "campaign": (
        CAMPAIGN,
        {
            "draft": "scheduled running canceled",
            "scheduled": "running canceled",
            "running": "paused completed canceled failed",
            "paused": "running canceled completed",
        },
    ),
}
STATES: dict[str, Any] = {
    "call": CallStatus,
    "lead": LeadStatus,
    "enrolment": EnrolmentStatus,
    "campaign": CampaignStatus,
}


@pytest.mark.parametrize("name", TABLES)
def test_exactly_the_transitions_of_the_domain_are_legal(name: str) -> None:
    machine, table = TABLES[name]
    states = STATES[name]
    legal = {(old, new) for old, news in table.items() for new in news.split()}
    assert {(o.value, n.value) for o in states for n in states if machine.can(o, n)} == legal


@pytest.mark.parametrize("name", TABLES)
def test_states_without_a_next_one_are_terminal(name: str) -> None:
    machine, table = TABLES[name]
    assert {s.value for s in STATES[name] if not machine.is_terminal(s)} == set(table)


@pytest.mark.parametrize("name", TABLES)
def test_an_illegal_step_names_the_machine_and_both_states(name: str) -> None:
    machine, _ = TABLES[name]
    for old in STATES[name]:
        for new in STATES[name]:
            if not machine.can(old, new):
                told = rf"{name} .*\b{re.escape(old)}\b.*\b{re.escape(new)}$"
                with pytest.raises(ConflictError, match=told):
                    machine.advance(old, new)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_a_terminal_state_survives_any_events(name: str, data: st.DataObject) -> None:
    machine, _ = TABLES[name]
    states = list(STATES[name])
    state = data.draw(st.sampled_from([s for s in states if machine.is_terminal(s)]))
    for event in data.draw(st.lists(st.sampled_from(states))):
        assert not machine.can(state, event)


ORDER = {status: n for n, status in enumerate(CallStatus)}
"""Of `unknown` and before, and then along a call's way; all ends are last."""


@given(st.permutations(list(CallStatus)))
def test_shuffled_events_never_move_a_call_back(events: list[CallStatus]) -> None:
    state = CallStatus.SCHEDULED
    for event in events:
        if CALL.can(state, event):
            assert ORDER[event] > ORDER[state]
            state = CALL.advance(state, event)


@given(st.lists(st.sampled_from(list(CallStatus)), min_size=1))
def test_repeated_events_change_nothing_more(events: list[CallStatus]) -> None:
    def after(events: list[CallStatus]) -> CallStatus:
        state = CallStatus.DIALING
        for event in events:
            if CALL.can(state, event):
                state = CALL.advance(state, event)
        return state

    assert after(events) == after([event for event in events for _ in range(2)])


def test_what_is_there_already_is_told_apart_from_what_is_illegal() -> None:
    assert CAMPAIGN.apply(CampaignStatus.RUNNING, CampaignStatus.RUNNING) is None
    assert CAMPAIGN.apply(CampaignStatus.RUNNING, CampaignStatus.PAUSED) is CampaignStatus.PAUSED
    with pytest.raises(ConflictError):
        CAMPAIGN.apply(CampaignStatus.CANCELED, CampaignStatus.RUNNING)
    with pytest.raises(ConflictError):
        CAMPAIGN.advance(CampaignStatus.RUNNING, CampaignStatus.RUNNING)


def test_calls_are_scheduled_in_flight_or_ended() -> None:
    assert {s for s in CallStatus if CALL.is_terminal(s)} == CALL_TERMINAL
    assert set(CallStatus) == CALL_TERMINAL | CALL_IN_FLIGHT | {CallStatus.SCHEDULED}
    assert not CALL_TERMINAL & CALL_IN_FLIGHT


def test_an_end_is_taken_back_for_a_reason_only() -> None:
    done = reopen(ENROLMENT, EnrolmentStatus.DONE, EnrolmentStatus.QUEUED, " asked again ")
    assert (done.new, done.reason) == (EnrolmentStatus.QUEUED, "asked again")
    lost = reopen(LEAD, LeadStatus.LOST, LeadStatus.CONTACTED, "wrote to us")
    assert (lost.machine, lost.old, lost.new) == ("lead", LeadStatus.LOST, LeadStatus.CONTACTED)
    with pytest.raises(ValidationError, match="reason"):
        reopen(LEAD, LeadStatus.LOST, LeadStatus.NEW, "  ")


def test_what_has_not_ended_cannot_be_reopened() -> None:
    with pytest.raises(ConflictError, match="queued"):
        reopen(ENROLMENT, EnrolmentStatus.CALLING, EnrolmentStatus.QUEUED, "why not")
    with pytest.raises(ConflictError):
        reopen(CALL, CallStatus.COMPLETED, CallStatus.SCHEDULED, "why not")


def test_do_not_call_is_lifted_by_consent_and_by_nothing_else() -> None:
    with pytest.raises(ConflictError):
        reopen(LEAD, LeadStatus.DNC, LeadStatus.NEW, "a good reason")
    given_back = consent(LeadStatus.DNC, LeadStatus.NEW, "signed on 2026-11-01")
    assert given_back.new is LeadStatus.NEW
    with pytest.raises(ConflictError):
        consent(LeadStatus.LOST, LeadStatus.NEW, "signed")
    with pytest.raises(ValidationError):
        consent(LeadStatus.DNC, LeadStatus.NEW, "")
