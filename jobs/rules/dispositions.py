"""Dispositions of ended calls, and their effects on the lead and the enrollment."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from jobs.errors import ConflictError
from jobs.rules.states import CALL, LEAD, CallStatus, EnrollmentStatus, LeadStatus


class AnsweredBy(StrEnum):
    """Result of Twilio's answering machine detection; it may arrive late, or be wrong."""

    HUMAN = "human"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"


MACHINES: Final = frozenset(AnsweredBy) - {AnsweredBy.HUMAN, AnsweredBy.UNKNOWN}
"""Detection results that mean a machine."""


class CallOutcome(StrEnum):
    """Result of a conversation."""

    CONVERTED = "converted"
    APPOINTMENT = "appointment"
    INTERESTED = "interested"
    CALLBACK = "callback"
    NOT_INTERESTED = "not_interested"
    DO_NOT_CALL = "do_not_call"
    OTHER = "other"


class Disposition(StrEnum):
    """End of an attempt, as the retry rules distinguish it."""

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
_NOT_DIALED: Final = frozenset({CallStatus.CANCELED, CallStatus.SUPPRESSED, CallStatus.EXPIRED})


def disposition_of(
    status: CallStatus,
    answered_by: AnsweredBy | None,
    outcome: CallOutcome | None,
    sip_code: int | None,
) -> Disposition:
    """Return the disposition of an ended call.

    The outcome of the conversation, except OTHER, outranks the machine detection. If the call was
    not answered, the SIP code (RFC 3261) outranks the status.

    Args:
        status: Terminal status of the call.
        answered_by: Result of the machine detection; None if unknown.
        outcome: Outcome of the conversation; None if unknown.
        sip_code: Final SIP response code; None if unknown.

    Raises:
        ConflictError: The call has not ended.
    """
    if not CALL.is_terminal(status):
        raise ConflictError(f"call is {status}: a call has no disposition before it ends")
    if status is CallStatus.COMPLETED:
        return _answered_disposition(answered_by, outcome)
    if status in _NOT_DIALED or sip_code is None:
        return _BY_STATUS[status]
    return _BY_SIP_CODE.get(sip_code, _BY_STATUS[status])


def _answered_disposition(
    answered_by: AnsweredBy | None, outcome: CallOutcome | None
) -> Disposition:
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
    """Effects of an ended call.

    Attributes:
        lead_status: New status of the lead, to be applied with `move_lead`; None means no change.
        enrollment: New status of the enrollment. RETRY_WAIT becomes EXHAUSTED if no attempt is
            left.
        suppress: True if the number must not be called again, in any campaign.
    """

    lead_status: LeadStatus | None
    enrollment: EnrollmentStatus
    suppress: bool = False

    @property
    def enrolment(self) -> EnrollmentStatus:
        """Alias of `enrollment`."""
        return self.enrollment


_RETRY: Final = AfterCall(None, EnrollmentStatus.RETRY_WAIT)
_REMOVED: Final = AfterCall(None, EnrollmentStatus.REMOVED)
_CONTACTED: Final = AfterCall(LeadStatus.CONTACTED, EnrollmentStatus.DONE)
_QUALIFIED: Final = AfterCall(LeadStatus.QUALIFIED, EnrollmentStatus.DONE)

_AFTER_OUTCOME: Final = MappingProxyType(
    {
        CallOutcome.CONVERTED: AfterCall(LeadStatus.CONVERTED, EnrollmentStatus.DONE),
        CallOutcome.APPOINTMENT: _QUALIFIED,
        CallOutcome.INTERESTED: _QUALIFIED,
        CallOutcome.NOT_INTERESTED: AfterCall(LeadStatus.LOST, EnrollmentStatus.DONE),
    }
)
_AFTER_DISPOSITION: Final = MappingProxyType(
    {
        Disposition.CALLBACK: AfterCall(LeadStatus.CONTACTED, EnrollmentStatus.CALLBACK),
        Disposition.DO_NOT_CALL: AfterCall(LeadStatus.DNC, EnrollmentStatus.REMOVED, suppress=True),
        Disposition.UNALLOCATED: AfterCall(LeadStatus.INVALID, EnrollmentStatus.REMOVED),
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
    """Return the effects of a call with a disposition.

    Args:
        disposition: Disposition of the call.
        outcome: Outcome of the conversation; ignored unless the call was answered.
    """
    if disposition is not Disposition.ANSWERED:
        return _AFTER_DISPOSITION[disposition]
    return _CONTACTED if outcome is None else _AFTER_OUTCOME.get(outcome, _CONTACTED)


def move_lead(old: LeadStatus, target: LeadStatus) -> LeadStatus:
    """Return `target` if legal, else `old`: a call never moves a lead backward."""
    return target if LEAD.can(old, target) else old
