"""The state machines of calls, leads, enrolments and campaigns.

Every change of a state goes through its machine. A terminal state never changes; what reopens one
is a function of its own that asks for a reason, to be written down by the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from jobs.errors import ConflictError, ValidationError


class CallStatus(StrEnum):
    """Twilio's names where the provider has one; the rest is ours."""

    SCHEDULED = "scheduled"
    DIALING = "dialing"
    """Claimed and asked for; the provider has not confirmed it."""
    UNKNOWN = "unknown"
    """Asked for, with no answer: only the provider knows."""
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
    """Not dialled, since the number must not be called."""
    EXPIRED = "expired"
    """Not dialled, since the moment had passed."""


class LeadStatus(StrEnum):
    """A person, across campaigns."""

    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    UNQUALIFIED = "unqualified"
    CONVERTED = "converted"
    LOST = "lost"
    INVALID = "invalid"
    DNC = "dnc"
    """Asked not to be called."""


class EnrolmentStatus(StrEnum):
    """A lead in a campaign."""

    QUEUED = "queued"
    PAUSED = "paused"
    CALLING = "calling"
    RETRY_WAIT = "retry_wait"
    CALLBACK = "callback"
    DONE = "done"
    EXHAUSTED = "exhausted"
    REMOVED = "removed"


class CampaignStatus(StrEnum):
    """A list of leads to be called."""

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
    """A table of legal next states. A state that is not listed with a next one is terminal."""

    name: str
    table: Mapping[S, frozenset[S]]
    reopenings: Mapping[S, frozenset[S]]
    """What `reopen` may do, beyond the table."""

    def can(self, old: S, new: S) -> bool:
        """Whether `new` may follow on `old`; on itself, only where the table says so."""
        return new in self.table.get(old, ())

    def advance(self, old: S, new: S) -> S:
        """`new`, where it may follow on `old`. Raises ConflictError naming both."""
        if not self.can(old, new):
            raise ConflictError(f"a {self.name} that is {old} cannot become {new}")
        return new

    def apply(self, old: S, new: S) -> S | None:
        """Like `advance`, for what may run twice: None where the state is `new` already."""
        return None if old is new else self.advance(old, new)

    def is_terminal(self, state: S) -> bool:
        return not self.table.get(state)


@dataclass(frozen=True, slots=True)
class Reopened(Generic[S]):
    """A change that no machine makes by itself, for the audit trail."""

    machine: str
    old: S
    new: S
    reason: str


def reopen(machine: StateMachine[S], old: S, new: S, reason: str) -> Reopened[S]:
    """Takes back an end: a lead that is converted, lost or invalid, or an enrolment that ended.

    Raises ConflictError where that is not allowed, ValidationError without a reason.
    """
    if new not in machine.reopenings.get(old, ()):
        raise ConflictError(f"a {machine.name} that is {old} cannot be reopened as {new}")
    return Reopened(machine.name, old, new, _reason(reason))


def consent(old: LeadStatus, new: LeadStatus, reason: str) -> Reopened[LeadStatus]:
    """Lets a person who asked not to be called be called again, as they themselves agreed.

    reason: how and when they agreed. Raises ConflictError, ValidationError without a reason.
    """
    if old is not LeadStatus.DNC or new not in _LEAD_REOPENED:
        raise ConflictError(f"a lead that is {old} cannot become {new} by consent")
    return Reopened(LEAD.name, old, new, _reason(reason))


def _reason(text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise ValidationError("a reason is needed to reopen what has ended")
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

# Events get lost, so a call may skip states forwards; it never goes back.
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
CALL_IN_FLIGHT: Final = frozenset(_C) - CALL_TERMINAL - {_C.SCHEDULED}
"""Asked of the provider, or about to be, and not ended."""

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

_E = EnrolmentStatus

ENROLMENT: Final = StateMachine(
    "enrolment",
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
