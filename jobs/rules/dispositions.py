"""How a call ended, and what that means for the lead and for its enrolment."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from jobs.errors import ConflictError
from jobs.rules.states import CALL, LEAD, CallStatus, EnrolmentStatus, LeadStatus


class AnsweredBy(StrEnum):
    """Twilio's answering machine detection; it may come later than the answer, or be wrong."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"


MACHINES: Final = frozenset(AnsweredBy) - {AnsweredBy.HUMAN, AnsweredBy.UNKNOWN}


class CallOutcome(StrEnum):
    """What the conversation yielded."""

    CONVERTED = "converted"
    APPOINTMENT = "appointment"
    INTERESTED = "interested"
    CALLBACK = "callback"
    NOT_INTERESTED = "not_interested"
    DO_NOT_CALL = "do_not_call"
    OTHER = "other"


class Disposition(StrEnum):
    """How an attempt ended, as far as another attempt depends on it."""

    ANSWERED = "answered"
    CALLBACK = "callback"
    DO_NOT_CALL = "do_not_call"
    VOICEMAIL = "voicemail"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    DECLINED = "declined"
    UNALLOCATED = "unallocated"
    CARRIER_FAILURE = "carrier_failure"
    CANCELED = "canceled"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"


_BY_SIP_CODE: Final = MappingProxyType(
    {
        404: Disposition.UNALLOCATED,
        408: Disposition.NO_ANSWER,
        410: Disposition.UNALLOCATED,
        480: Disposition.NO_ANSWER,
        486: Disposition.BUSY,
        600: Disposition.BUSY,
        603: Disposition.DECLINED,
        604: Disposition.UNALLOCATED,
    }
    | dict.fromkeys(range(500, 600), Disposition.CARRIER_FAILURE)
)
_BY_STATUS: Final = MappingProxyType(
    {
        CallStatus.BUSY: Disposition.BUSY,
        CallStatus.NO_ANSWER: Disposition.NO_ANSWER,
        CallStatus.FAILED: Disposition.CARRIER_FAILURE,
        CallStatus.CANCELED: Disposition.CANCELED,
        CallStatus.SUPPRESSED: Disposition.SUPPRESSED,
        CallStatus.EXPIRED: Disposition.EXPIRED,
    }
)
_NOT_DIALLED_ON: Final = frozenset({CallStatus.CANCELED, CallStatus.SUPPRESSED, CallStatus.EXPIRED})


def disposition_of(
    status: CallStatus,
    answered_by: AnsweredBy | None,
    outcome: CallOutcome | None,
    sip_code: int | None,
) -> Disposition:
    """The disposition of a call that has ended; raises ConflictError for one that has not.

    The SIP code tells more than the status of a call that was not answered. What a conversation
    yielded tells more than the machine detection.
    """
    if not CALL.is_terminal(status):
        raise ConflictError(f"a call that is {status} has no disposition: it has not ended")
    if status is CallStatus.COMPLETED:
        return _of_answered(answered_by, outcome)
    if status in _NOT_DIALLED_ON or sip_code is None:
        return _BY_STATUS[status]
    return _BY_SIP_CODE.get(sip_code, _BY_STATUS[status])


def _of_answered(answered_by: AnsweredBy | None, outcome: CallOutcome | None) -> Disposition:
    match outcome:
        case CallOutcome.CALLBACK:
            return Disposition.CALLBACK
        case CallOutcome.DO_NOT_CALL:
            return Disposition.DO_NOT_CALL
        case None | CallOutcome.OTHER if answered_by in MACHINES:
            return Disposition.VOICEMAIL
        case _:
            return Disposition.ANSWERED


@dataclass(frozen=True, slots=True)
class AfterCall:
    """What a call changes.

    lead_status: what the lead should become, by `move_lead`; None leaves it as it is.
    enrolment: RETRY_WAIT stands for another attempt, or EXHAUSTED where none is left.
    suppress: the number must not be called again, in any campaign.
    """

    lead_status: LeadStatus | None
    enrolment: EnrolmentStatus
    suppress: bool = False


_RETRY: Final = AfterCall(None, EnrolmentStatus.RETRY_WAIT)
_REMOVED: Final = AfterCall(None, EnrolmentStatus.REMOVED)
_CONTACTED: Final = AfterCall(LeadStatus.CONTACTED, EnrolmentStatus.DONE)
_QUALIFIED: Final = AfterCall(LeadStatus.QUALIFIED, EnrolmentStatus.DONE)

_AFTER_OUTCOME: Final = MappingProxyType(
    {
        CallOutcome.CONVERTED: AfterCall(LeadStatus.CONVERTED, EnrolmentStatus.DONE),
        CallOutcome.APPOINTMENT: _QUALIFIED,
        CallOutcome.INTERESTED: _QUALIFIED,
        CallOutcome.NOT_INTERESTED: AfterCall(LeadStatus.LOST, EnrolmentStatus.DONE),
    }
)
_AFTER_DISPOSITION: Final = MappingProxyType(
    {
        Disposition.CALLBACK: AfterCall(LeadStatus.CONTACTED, EnrolmentStatus.CALLBACK),
        Disposition.DO_NOT_CALL: AfterCall(LeadStatus.DNC, EnrolmentStatus.REMOVED, suppress=True),
        Disposition.UNALLOCATED: AfterCall(LeadStatus.INVALID, EnrolmentStatus.REMOVED),
        Disposition.VOICEMAIL: _RETRY,
        Disposition.NO_ANSWER: _RETRY,
        Disposition.BUSY: _RETRY,
        Disposition.DECLINED: _RETRY,
        Disposition.CARRIER_FAILURE: _RETRY,
        Disposition.EXPIRED: _RETRY,
        Disposition.CANCELED: _REMOVED,
        Disposition.SUPPRESSED: _REMOVED,
    }
)


def after_call(disposition: Disposition, outcome: CallOutcome | None) -> AfterCall:
    """What a call that ended so changes; `outcome` counts only where someone answered."""
    if disposition is not Disposition.ANSWERED:
        return _AFTER_DISPOSITION[disposition]
    return _CONTACTED if outcome is None else _AFTER_OUTCOME.get(outcome, _CONTACTED)


def move_lead(old: LeadStatus, target: LeadStatus) -> LeadStatus:
    """The lead's state after a call that asks for `target`; a call never moves a lead back."""
    return target if LEAD.can(old, target) else old
