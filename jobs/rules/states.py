"""State machines of calls, leads, enrollments and campaigns.

Each change of a status goes through its machine. A terminal status never changes, except by
`reopen` and `reopen_by_consent`: these need a reason and return a record for the audit trail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from jobs.errors import ConflictError, ValidationError


class CallStatus(StrEnum):
    """Status of a call: Twilio's statuses, and our own before and beside them."""

    SCHEDULED = "scheduled"
    DIALING = "dialing"
    """Claimed for dialing; the provider has not confirmed the call."""
    UNKNOWN = "unknown"
    """Requested without a response: only the provider knows the fate of the call."""
    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"
    SUPPRESSED = "suppressed"
    """Not dialed: the number must not be called."""
    EXPIRED = "expired"
    """Not dialed in time."""


class LeadStatus(StrEnum):
    """Status of a lead, which is a person across campaigns."""

    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    UNQUALIFIED = "unqualified"
    CONVERTED = "converted"
    LOST = "lost"
    INVALID = "invalid"
    DNC = "dnc"
    """The person asked not to be called."""


class EnrollmentStatus(StrEnum):
    """Status of an enrollment, which is a lead in a campaign."""

    QUEUED = "queued"
    PAUSED = "paused"
    CALLING = "calling"
    RETRY_WAIT = "retry_wait"
    CALLBACK = "callback"
    DONE = "done"
    EXHAUSTED = "exhausted"
    REMOVED = "removed"


class CampaignStatus(StrEnum):
    """Status of a campaign."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"


S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class StateMachine(Generic[S]):
    """Table of legal transitions. A state without a next state is terminal.

    Attributes:
        name: Noun for error messages and audit records.
        table: Legal next states of each state.
        reopenings: States that `reopen` may lead to, for each terminal state.
    """

    name: str
    table: Mapping[S, frozenset[S]]
    reopenings: Mapping[S, frozenset[S]]

    def can(self, old: S, new: S) -> bool:
        """Return True if the table has the transition, also for a state to itself."""
        return new in self.table.get(old, ())

    def advance(self, old: S, new: S) -> S:
        """Return `new` if the transition is legal.

        Raises:
            ConflictError: The transition is illegal; the message names both states.
        """
        if not self.can(old, new):
            raise ConflictError(f"{self.name} cannot change from {old} to {new}")
        return new

    def apply(self, old: S, new: S) -> S | None:
        """Return `new`, or None if `old` is `new` already: `advance` for code that may run twice.

        Raises:
            ConflictError: The transition is illegal; the message names both states.
        """
        return None if old is new else self.advance(old, new)

    def is_terminal(self, state: S) -> bool:
        """Return True if no transition leaves the state."""
        return not self.table.get(state)


@dataclass(frozen=True, slots=True)
class Reopening(Generic[S]):
    """Audit record of a terminal state that a person reopened.

    Attributes:
        machine: Name of the state machine.
        old: Terminal state.
        new: State after the reopening.
        reason: Reason given by the person, stripped.
    """

    machine: str
    old: S
    new: S
    reason: str


def reopen(machine: StateMachine[S], old: S, new: S, reason: str) -> Reopening[S]:
    """Reopen an ended enrollment, or a lead that is converted, lost or invalid.

    Args:
        machine: State machine of the enrollment or lead.
        old: Current state.
        new: State to reopen it in.
        reason: Reason for the audit trail.

    Raises:
        ConflictError: This state cannot be reopened, or not as `new`.
        ValidationError: The reason is blank.
    """
    if new not in machine.reopenings.get(old, ()):
        raise ConflictError(f"{machine.name} cannot be reopened from {old} to {new}")
    return Reopening(machine.name, old, new, _check_reason(reason))


def reopen_by_consent(old: LeadStatus, new: LeadStatus, reason: str) -> Reopening[LeadStatus]:
    """Reopen a lead that asked not to be called, on the person's new consent.

    Args:
        old: Current status, which must be DNC.
        new: Status to reopen the lead in.
        reason: Time and form of the consent, for the audit trail.

    Raises:
        ConflictError: The lead is not DNC, or cannot be reopened as `new`.
        ValidationError: The reason is blank.
    """
    if old is not LeadStatus.DNC or new not in _LEAD_REOPENED:
        raise ConflictError(f"lead cannot be reopened from {old} to {new} by consent")
    return Reopening(LEAD.name, old, new, _check_reason(reason))


def _check_reason(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise ValidationError("reason is empty: give a reason for the audit trail")
    return stripped


def _table(legal: Mapping[S, frozenset[S] | set[S]]) -> Mapping[S, frozenset[S]]:
    return MappingProxyType({old: frozenset(new) for old, new in legal.items()})


_C = CallStatus
_ENDED_BY_PROVIDER: Final = frozenset({_C.COMPLETED, _C.BUSY, _C.NO_ANSWER, _C.FAILED, _C.CANCELED})
_FROM_PROVIDER: Final = _ENDED_BY_PROVIDER | {
    _C.QUEUED,
    _C.INITIATED,
    _C.RINGING,
    _C.IN_PROGRESS,
}

# Events get lost, so a call may skip states; it never moves backward.
CALL: Final = StateMachine(
    "call",
    _table(
        {
            _C.SCHEDULED: {_C.DIALING, _C.CANCELED, _C.SUPPRESSED, _C.EXPIRED},
            _C.DIALING: _FROM_PROVIDER | {_C.UNKNOWN},
            _C.UNKNOWN: _FROM_PROVIDER,
            _C.QUEUED: _ENDED_BY_PROVIDER | {_C.INITIATED, _C.RINGING, _C.IN_PROGRESS},
            _C.INITIATED: _ENDED_BY_PROVIDER | {_C.RINGING, _C.IN_PROGRESS},
            _C.RINGING: _ENDED_BY_PROVIDER | {_C.IN_PROGRESS},
            _C.IN_PROGRESS: {_C.COMPLETED, _C.FAILED},
        }
    ),
    _table({}),
)
CALL_TERMINAL: Final = _ENDED_BY_PROVIDER | {_C.SUPPRESSED, _C.EXPIRED}
"""Statuses of ended calls."""
CALL_IN_FLIGHT: Final = frozenset(_C) - CALL_TERMINAL - {_C.SCHEDULED}
"""Statuses of calls that were or are being requested from the provider and have not ended."""

_L = LeadStatus
_LEAD_OPEN: Final = frozenset(
    {
        _L.CONTACTED,
        _L.QUALIFIED,
        _L.UNQUALIFIED,
        _L.CONVERTED,
        _L.LOST,
        _L.INVALID,
        _L.DNC,
    }
)
_LEAD_REOPENED: Final = frozenset({_L.NEW, _L.CONTACTED, _L.QUALIFIED, _L.UNQUALIFIED})

LEAD: Final = StateMachine(
    "lead",
    _table(
        {
            _L.NEW: _LEAD_OPEN,
            _L.CONTACTED: _LEAD_OPEN,
            _L.UNQUALIFIED: _LEAD_OPEN,
            _L.QUALIFIED: {_L.CONVERTED, _L.LOST, _L.UNQUALIFIED, _L.INVALID, _L.DNC},
            _L.CONVERTED: {_L.DNC},
            _L.LOST: {_L.DNC},
            _L.INVALID: {_L.DNC},
        }
    ),
    _table(dict.fromkeys((_L.CONVERTED, _L.LOST, _L.INVALID), _LEAD_REOPENED)),
)

_E = EnrollmentStatus

ENROLLMENT: Final = StateMachine(
    "enrollment",
    _table(
        {
            _E.QUEUED: {_E.CALLING, _E.PAUSED, _E.REMOVED},
            _E.PAUSED: {_E.QUEUED, _E.REMOVED},
            _E.CALLING: {_E.RETRY_WAIT, _E.CALLBACK, _E.DONE, _E.EXHAUSTED, _E.REMOVED},
            _E.RETRY_WAIT: {_E.QUEUED, _E.CALLING, _E.PAUSED, _E.EXHAUSTED, _E.REMOVED},
            _E.CALLBACK: {_E.QUEUED, _E.CALLING, _E.PAUSED, _E.EXHAUSTED, _E.REMOVED},
        }
    ),
    _table(dict.fromkeys((_E.DONE, _E.EXHAUSTED, _E.REMOVED), frozenset({_E.QUEUED}))),
)

# Spelling of the database table, in use in jobs.store.
ENROLMENT: Final = ENROLLMENT
EnrolmentStatus = EnrollmentStatus

_P = CampaignStatus

CAMPAIGN: Final = StateMachine(
    "campaign",
    _table(
        {
            _P.DRAFT: {_P.SCHEDULED, _P.RUNNING, _P.CANCELED},
            _P.SCHEDULED: {_P.RUNNING, _P.CANCELED},
            _P.RUNNING: {_P.PAUSED, _P.COMPLETED, _P.CANCELED, _P.FAILED},
            _P.PAUSED: {_P.RUNNING, _P.CANCELED, _P.COMPLETED},
        }
    ),
    _table({}),
)
