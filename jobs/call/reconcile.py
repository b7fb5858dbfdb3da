"""What got lost is found again: callbacks, answers of the provider, and jobs.

Every follow-up is derivable from a row's state, so losing Redis, a worker or a callback only
delays a call. Nothing is dialled here.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.call.dispatch import UNAVAILABLE
from jobs.call.events import StatusPayload, apply_status, enqueue_completed
from jobs.context import JobContext
from jobs.engine import JobRequest, job, retry
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import Call
from jobs.voice.protocol import CallState

REQUEST_GRACE = timedelta(seconds=10)
"""Real time after which a request to the provider has certainly been answered or lost; longer
than ASK_WITHIN and ANSWER_WITHIN together."""
STUCK_AFTER = timedelta(minutes=10)
"""Business time after which a call that has not ended is asked about."""
SWEEP = 1000


@job("call.reconcile", timeout=60)
@retry()
async def reconcile(ctx: JobContext, *call_ids: UUID) -> None:
    """Asks the provider how these calls stand; without ids, looks for all that is overdue."""
    if call_ids:
        await _settle(ctx, call_ids)
    else:
        await _sweep(ctx)


async def _settle(ctx: JobContext, call_ids: tuple[UUID, ...]) -> None:
    async with ctx["store"].begin() as work:
        calls = await work.calls.get_many(call_ids)
    open_ids = [call.id for call in calls if not CALL.is_terminal(call.status)]
    if not open_ids:
        return
    clock = ctx["clock"]
    # Of the moment before the lookup, which knows nothing of a call that is dialled meanwhile.
    now, answered_before = clock.now(), clock.ago(REQUEST_GRACE)
    states = await ctx["voice"].lookup(open_ids)
    async with ctx["store"].begin() as work:
        before = await work.calls.get_many(open_ids, lock=True)
        changed, ended, early = [], [], []
        for call in before:
            if call.id not in states and call.dialed_at and call.dialed_at > answered_before:
                early.append(call)
                continue
            after = settled(call, states.get(call.id), now)
            if after != call:
                changed.append(after)
                if CALL.is_terminal(after.status):
                    ended.append(after.id)
        await work.calls.save(changed)
        enqueue_completed(work, ended)
        if early:
            work.enqueue(
                "call.reconcile",
                *(call.id for call in early),
                defer_until=now + (now - answered_before),
            )


def settled(call: Call, state: CallState | None, now: datetime) -> Call:
    """The call as the provider says it is; one that it never took has failed."""
    if call.status is CallStatus.SCHEDULED or CALL.is_terminal(call.status):
        return call
    if state is None:
        if call.refused_until is not None:
            return call
        return replace(call, status=CallStatus.FAILED, sip_code=UNAVAILABLE, ended_at=now)
    linked = call if call.provider_id else replace(call, provider_id=state.provider_id)
    return apply_status(
        linked, StatusPayload.model_validate(state.payload), state.last_sequence, now
    )


async def _sweep(ctx: JobContext) -> None:
    clock = ctx["clock"]
    now, answered_before = clock.now(), clock.ago(REQUEST_GRACE)
    async with ctx["store"].begin() as work:
        overdue = await work.calls.overdue(
            scheduled_before=min(now - STUCK_AFTER, answered_before),
            dialed_before=min(now - STUCK_AFTER, answered_before),
            limit=SWEEP,
        )
        unread = await work.calls.with_unapplied_events(answered_before, SWEEP)
        unread_calls = await work.calls.get_many(unread)
    follow_ups = [_follow_up(call, now) for call in overdue]
    follow_ups += [_request("call.apply_event", call, now) for call in unread_calls]
    await ctx["redis"].enqueue_many(follow_ups)


def _follow_up(call: Call, now: datetime) -> JobRequest:
    refused = call.status is CallStatus.DIALING and call.refused_until is not None
    if call.status is CallStatus.SCHEDULED or refused:
        return _request("call.dispatch", call, now)
    if CALL.is_terminal(call.status):
        return _request("call.process_completed", call, now)
    return _request("call.reconcile", call, now)


def _request(function: str, call: Call, now: datetime) -> JobRequest:
    # The same loss found twice is one job, until it is time to ask again.
    period = int(now.timestamp() // STUCK_AFTER.total_seconds())
    job_id = f"{function}:{call.id}:{call.version}:{period}"
    return JobRequest(function, (call.id,), job_id=job_id)
