"""State machines, compared with the tables of the domain."""

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
    ENROLLMENT,
    LEAD,
    CallStatus,
    CampaignStatus,
    EnrollmentStatus,
    LeadStatus,
    StateMachine,
    reopen,
    reopen_by_consent,
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
    "enrollment": (
        ENROLLMENT,
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
    "enrollment": EnrollmentStatus,
    "campaign": CampaignStatus,
}


@pytest.mark.parametrize("name", TABLES)
def test_legal_transitions_match_the_domain_tables(name: str) -> None:
    machine, table = TABLES[name]
    states = STATES[name]
    legal = {(old, new) for old, news in table.items() for new in news.split()}
    assert {(o.value, n.value) for o in states for n in states if machine.can(o, n)} == legal


@pytest.mark.parametrize("name", TABLES)
def test_states_without_transitions_are_terminal(name: str) -> None:
    machine, table = TABLES[name]
    assert {s.value for s in STATES[name] if not machine.is_terminal(s)} == set(table)


@pytest.mark.parametrize("name", TABLES)
def test_illegal_transition_names_the_machine_and_both_states(name: str) -> None:
    machine, _ = TABLES[name]
    for old in STATES[name]:
        for new in STATES[name]:
            if not machine.can(old, new):
                message = rf"{name} .*\b{re.escape(old)}\b.*\b{re.escape(new)}$"
                with pytest.raises(ConflictError, match=message):
                    machine.advance(old, new)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_terminal_state_allows_no_transition(name: str, data: st.DataObject) -> None:
    machine, _ = TABLES[name]
    states = list(STATES[name])
    state = data.draw(st.sampled_from([s for s in states if machine.is_terminal(s)]))
    for event in data.draw(st.lists(st.sampled_from(states))):
        assert not machine.can(state, event)


ORDER = {status: n for n, status in enumerate(CallStatus)}
"""Position of each status on the way of a call; terminal statuses are last."""


@given(st.permutations(list(CallStatus)))
def test_shuffled_events_never_move_a_call_backward(events: list[CallStatus]) -> None:
    state = CallStatus.SCHEDULED
    for event in events:
        if CALL.can(state, event):
            assert ORDER[event] > ORDER[state]
            state = CALL.advance(state, event)


@given(st.lists(st.sampled_from(list(CallStatus)), min_size=1))
def test_repeated_events_change_nothing(events: list[CallStatus]) -> None:
    def after(events: list[CallStatus]) -> CallStatus:
        state = CallStatus.DIALING
        for event in events:
            if CALL.can(state, event):
                state = CALL.advance(state, event)
        return state

    assert after(events) == after([event for event in events for _ in range(2)])


def test_apply_returns_none_for_the_current_state() -> None:
    assert CAMPAIGN.apply(CampaignStatus.RUNNING, CampaignStatus.RUNNING) is None
    assert CAMPAIGN.apply(CampaignStatus.RUNNING, CampaignStatus.PAUSED) is CampaignStatus.PAUSED
    with pytest.raises(ConflictError):
        CAMPAIGN.apply(CampaignStatus.CANCELED, CampaignStatus.RUNNING)
    with pytest.raises(ConflictError):
        CAMPAIGN.advance(CampaignStatus.RUNNING, CampaignStatus.RUNNING)


def test_call_is_scheduled_in_flight_or_ended() -> None:
    assert {s for s in CallStatus if CALL.is_terminal(s)} == CALL_TERMINAL
    assert set(CallStatus) == CALL_TERMINAL | CALL_IN_FLIGHT | {CallStatus.SCHEDULED}
    assert not CALL_TERMINAL & CALL_IN_FLIGHT


def test_reopening_needs_a_reason() -> None:
    done = reopen(ENROLLMENT, EnrollmentStatus.DONE, EnrollmentStatus.QUEUED, " asked again ")
    assert (done.new, done.reason) == (EnrollmentStatus.QUEUED, "asked again")
    lost = reopen(LEAD, LeadStatus.LOST, LeadStatus.CONTACTED, "wrote to us")
    assert (lost.machine, lost.old, lost.new) == ("lead", LeadStatus.LOST, LeadStatus.CONTACTED)
    with pytest.raises(ValidationError, match="reason"):
        reopen(LEAD, LeadStatus.LOST, LeadStatus.NEW, "  ")


def test_open_state_cannot_be_reopened() -> None:
    with pytest.raises(ConflictError, match="queued"):
        reopen(ENROLLMENT, EnrollmentStatus.CALLING, EnrollmentStatus.QUEUED, "why not")
    with pytest.raises(ConflictError):
        reopen(CALL, CallStatus.COMPLETED, CallStatus.SCHEDULED, "why not")


def test_do_not_call_is_reopened_by_consent_only() -> None:
    with pytest.raises(ConflictError):
        reopen(LEAD, LeadStatus.DNC, LeadStatus.NEW, "a good reason")
    reopening = reopen_by_consent(LeadStatus.DNC, LeadStatus.NEW, "signed on 2026-11-01")
    assert reopening.new is LeadStatus.NEW
    with pytest.raises(ConflictError):
        reopen_by_consent(LeadStatus.LOST, LeadStatus.NEW, "signed")
    with pytest.raises(ValidationError):
        reopen_by_consent(LeadStatus.DNC, LeadStatus.NEW, "")
