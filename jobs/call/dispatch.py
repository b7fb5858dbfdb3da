"""Dialing: the intent is stored before the provider is asked, so no attempt is dialed twice.

    scheduled --(1. intent)--> dialing --(2. request)--> (3. response) queued | failed | unknown

If a worker dies between 1 and 3, the call stays `dialing` and only the provider knows its fate:
`call.reconcile` looks it up. The call is never dialed again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from jobs.call.events import enqueue_process_completed
from jobs.call.guards import check_calls
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ExternalServiceError
from jobs.rules.states import CallStatus
from jobs.store.model import Call
from jobs.store.protocol import Work
from jobs.voice.protocol import Accepted, Answer, CallRequest, Refused, VoiceProvider

MAX_REQUESTS = 5
"""Requests per attempt to a provider that refuses."""
DEFAULT_WAIT = timedelta(seconds=5)
"""Time before the next request if the provider named none."""
ASK_WITHIN, ANSWER_WITHIN = 3.0, 4.0
"""Timeouts in real seconds: from the intent to the request, and from the request to the response.

Together they are shorter than `call.reconcile`'s REQUEST_GRACE, after which a call that the
provider does not know counts as never requested.
"""
NOT_FOUND, UNAVAILABLE = 404, 503
"""SIP codes (RFC 3261) for a number that cannot be called, and for a provider that took no call."""

log = structlog.get_logger(__name__)


@job("call.dispatch", timeout=60)
@retry()
async def dispatch(ctx: JobContext, *call_ids: UUID) -> None:
    """Dial scheduled calls, after a last check that each may be dialed now.

    Args:
        ctx: Job context.
        call_ids: The calls. Calls already requested are left to `call.reconcile`.
    """
    deadline = asyncio.get_running_loop().time() + ASK_WITHIN
    async with ctx["store"].begin() as work:
        requests = await _write_intents(work, call_ids, ctx["clock"].now())
    if not requests:
        return
    answers = await _place(ctx["voice"], requests, deadline)
    requested = [request.call_id for request in requests]
    async with ctx["store"].begin() as work:
        await _record_answers(work, requested, answers, ctx["clock"].now())


async def _write_intents(work: Work, call_ids: Sequence[UUID], now: datetime) -> list[CallRequest]:
    calls = await work.calls.get_many(call_ids, lock=True)
    # Requested by a worker that died, or by one that still waits for the response.
    requested = [
        call.id
        for call in calls
        if call.status is CallStatus.DIALING and call.refused_until is None
    ]
    if requested:
        work.enqueue("call.reconcile", *requested)
    checked = await check_calls(work, [call for call in calls if _is_due(call, now)], now)
    dialing = [_intent(call, now) for call in checked.allowed]
    await work.calls.save([*dialing, *checked.ended])
    await work.campaigns.save_enrolments(checked.enrollments)
    return [CallRequest(call.id, checked.numbers[call.id]) for call in dialing]


def _is_due(call: Call, now: datetime) -> bool:
    if call.status is CallStatus.SCHEDULED:
        return True
    refused = call.status is CallStatus.DIALING and call.refused_until is not None
    return refused and call.refused_until <= now  # type: ignore[operator]  # not None: `refused`


def _intent(call: Call, now: datetime) -> Call:
    return replace(
        call,
        status=CallStatus.DIALING,
        dialed_at=now,
        requests=call.requests + 1,
        refused_until=None,
    )


async def _place(
    voice: VoiceProvider, requests: Sequence[CallRequest], deadline: float
) -> Mapping[UUID, Answer]:
    """Request the calls; a request without an answer has an unknown fate."""
    if asyncio.get_running_loop().time() > deadline:
        # This process was frozen, and `call.reconcile` may have given up its calls. They were
        # not requested, so they may be dialed later.
        return {request.call_id: Refused("not requested in time") for request in requests}
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await voice.place(requests)
    except (ExternalServiceError, TimeoutError) as error:
        log.warning("dial_fate_unknown", calls=len(requests), error=str(error))
        return {}


async def _record_answers(
    work: Work, call_ids: Sequence[UUID], answers: Mapping[UUID, Answer], now: datetime
) -> None:
    calls = await work.calls.get_many(call_ids, lock=True)
    after = [apply_answer(call, answers.get(call.id), now) for call in calls]
    await work.calls.save(after)
    links = {call.provider_id: call.id for call in after if call.provider_id is not None}
    waiting = await work.calls.link_events(links)
    if waiting:
        work.enqueue("call.apply_event", *sorted(waiting))
    enqueue_process_completed(work, zip(calls, after, strict=True))
    for call in after:
        if call.status is CallStatus.DIALING and call.refused_until is not None:
            work.enqueue("call.dispatch", call.id, defer_until=call.refused_until)
    unknown = [call.id for call in after if call.status is CallStatus.UNKNOWN]
    if unknown:
        work.enqueue("call.reconcile", *unknown)


def apply_answer(call: Call, answer: Answer | None, now: datetime) -> Call:
    """Return a call with the provider's answer applied.

    If events arrived before the answer, only the link to the provider's call is added.

    Args:
        call: The requested call.
        answer: The provider's answer; None means an unknown fate.
        now: Current time, timezone-aware.
    """
    match answer:
        case Accepted(provider_id):
            undecided = call.status in (CallStatus.DIALING, CallStatus.UNKNOWN)
            status = CallStatus.QUEUED if undecided else call.status
            return replace(call, provider_id=provider_id, status=status)
        case None:
            status = CallStatus.UNKNOWN if call.status is CallStatus.DIALING else call.status
            return replace(call, status=status)
        case Refused() if call.status is not CallStatus.DIALING:
            return call
        case Refused(permanent=True):
            return replace(call, status=CallStatus.FAILED, sip_code=NOT_FOUND, ended_at=now)
        case Refused() if call.requests >= MAX_REQUESTS:
            return replace(call, status=CallStatus.FAILED, sip_code=UNAVAILABLE, ended_at=now)
        case Refused(retry_after=seconds):
            wait = DEFAULT_WAIT if seconds is None else timedelta(seconds=seconds)
            return replace(call, refused_until=now + wait)
