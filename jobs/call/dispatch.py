"""Dialling: the intent is written before the provider is asked, so no attempt is dialled twice.

    scheduled --(1. intent)--> dialing --(2. provider)--> (3. answer) queued | failed | unknown

A worker that dies between 1 and 3 leaves `dialing` behind, whose fate only the provider knows:
`call.reconcile` asks. It is never dialled again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from jobs.call.events import enqueue_completed
from jobs.call.guards import check
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ExternalServiceError
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import Call
from jobs.store.protocol import Work
from jobs.voice.protocol import Accepted, Answer, CallRequest, Refused, VoiceProvider

MAX_REQUESTS = 5
"""How often one attempt may ask a provider that refuses."""
DEFAULT_WAIT = timedelta(seconds=5)
"""Before asking again, where the provider did not say how long."""
ASK_WITHIN, ANSWER_WITHIN = 3.0, 4.0
"""Real seconds from the intent to the request, and from there to the answer. Both have passed
well before `call.reconcile` takes a call that the provider does not know for one that it was
never asked for."""
NOT_FOUND, UNAVAILABLE = 404, 503
"""SIP codes of a number that cannot be called, and of a provider that took no call."""

log = structlog.get_logger(__name__)


@job("call.dispatch", timeout=60)
@retry()
async def dispatch(ctx: JobContext, *call_ids: UUID) -> None:
    """Dials scheduled calls, after checking once more that each may be dialled now."""
    ask_by = asyncio.get_running_loop().time() + ASK_WITHIN
    async with ctx["store"].begin() as work:
        requests = await _write_intents(work, call_ids, ctx["clock"].now())
    if not requests:
        return
    answers = await _ask(ctx["voice"], requests, ask_by)
    asked = [request.call_id for request in requests]
    async with ctx["store"].begin() as work:
        await _record_answers(work, asked, answers, ctx["clock"].now())


async def _write_intents(work: Work, call_ids: Sequence[UUID], now: datetime) -> list[CallRequest]:
    calls = await work.calls.get_many(call_ids, lock=True)
    # By a worker that died, or by one that is at it: then the answer is still to come.
    asked_for = [
        call.id
        for call in calls
        if call.status is CallStatus.DIALING and call.refused_until is None
    ]
    if asked_for:
        work.enqueue("call.reconcile", *asked_for)
    checked = await check(work, [call for call in calls if _may_ask(call, now)], now)
    dialing = [_intent(call, now) for call in checked.allowed]
    await work.calls.save([*dialing, *checked.ended])
    await work.campaigns.save_enrolments(checked.enrolments)
    return [CallRequest(call.id, checked.numbers[call.id]) for call in dialing]


def _may_ask(call: Call, now: datetime) -> bool:
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


async def _ask(
    voice: VoiceProvider, requests: Sequence[CallRequest], ask_by: float
) -> Mapping[UUID, Answer]:
    """The provider's answers; a request without one has an unknown fate."""
    if asyncio.get_running_loop().time() > ask_by:
        # This process stood still. Others may have given the attempts up by now, so it must not
        # ask any more; and as it did not, they may be made later.
        return {request.call_id: Refused("not asked for in time") for request in requests}
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            return await voice.place(requests)
    except (ExternalServiceError, TimeoutError) as error:
        log.warning("dial_fate_unknown", calls=len(requests), error=str(error))
        return {}


async def _record_answers(
    work: Work, asked: Sequence[UUID], answers: Mapping[UUID, Answer], now: datetime
) -> None:
    calls = await work.calls.get_many(asked, lock=True)
    after = [answered(call, answers.get(call.id), now) for call in calls]
    await work.calls.save(after)
    links = {call.provider_id: call.id for call in after if call.provider_id is not None}
    waiting = await work.calls.link_events(links)
    if waiting:
        work.enqueue("call.apply_event", *sorted(waiting))
    enqueue_completed(
        work,
        [
            new.id
            for old, new in zip(calls, after, strict=True)
            if CALL.is_terminal(new.status) and not CALL.is_terminal(old.status)
        ],
    )
    for call in after:
        if call.status is CallStatus.DIALING and call.refused_until is not None:
            work.enqueue("call.dispatch", call.id, defer_until=call.refused_until)
    unknown = [call.id for call in after if call.status is CallStatus.UNKNOWN]
    if unknown:
        work.enqueue("call.reconcile", *unknown)


def answered(call: Call, answer: Answer | None, now: datetime) -> Call:
    """The call after the provider's answer; None stands for an unknown fate.

    Events may have outrun the answer: then only the link to the provider's call is added.
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
