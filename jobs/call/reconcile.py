"""What got lost is found again: callbacks, answers of the provider, and jobs.

Every follow-up is derivable from a row's state, so losing Redis, a worker or a callback only
delays a call. Nothing is dialled here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from jobs.call.events import StatusPayload, apply_status, enqueue_completed, recording_of
from jobs.context import JobContext
from jobs.engine import JobRequest, job, retry
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import Call, CallEvent
from jobs.store.protocol import Work
from jobs.voice.protocol import CallState

REQUEST_GRACE = timedelta(seconds=10)
"""Real time after which a request to the provider has certainly been answered or lost; longer
than ASK_WITHIN and ANSWER_WITHIN together."""
STUCK_AFTER = timedelta(minutes=10)
"""Business time after which a call that has not ended is asked about."""
SWEEP = 1000
RECORDINGS_FOR = timedelta(days=3)
"""Business time for which a recording that could not be fetched is asked for again."""


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
    """The call as the provider says it is; one that it never took has failed, with no SIP code."""
    if call.status is CallStatus.SCHEDULED or CALL.is_terminal(call.status):
        return call
    if state is None:
        if call.refused_until is not None:
            return call
        return replace(call, status=CallStatus.FAILED, ended_at=now)
    linked = call if call.provider_id else replace(call, provider_id=state.provider_id)
    return apply_status(
        linked, StatusPayload.model_validate(state.payload), state.last_sequence, now
    )


async def _sweep(ctx: JobContext) -> None:
    """Enqueues again what the rows say is still to be done, and nobody seems to be doing."""
    clock = ctx["clock"]
    now, answered_before = clock.now(), clock.ago(REQUEST_GRACE)
    stuck_before = min(now - STUCK_AFTER, answered_before)

    async def overdue(work: Work, after: UUID | None) -> list[Call]:
        return await work.calls.overdue(
            scheduled_before=stuck_before, dialed_before=stuck_before, limit=SWEEP, after=after
        )

    async def unread(work: Work, after: UUID | None) -> list[Call]:
        return await work.calls.with_unapplied_events(answered_before, SWEEP, after)

    async for calls in _pages(ctx, overdue):
        await ctx["redis"].enqueue_many([_follow_up(call, now) for call in calls])
    async for calls in _pages(ctx, unread):
        await ctx["redis"].enqueue_many([_request("call.apply_event", call, now) for call in calls])
    async with ctx["store"].begin() as work:
        recordings = await work.calls.unfetched_recordings(
            received_after=now - RECORDINGS_FOR, received_before=stuck_before, limit=SWEEP
        )
    await ctx["redis"].enqueue_many([_fetch(event) for event in recordings])


async def _pages(
    ctx: JobContext, page: Callable[[Work, UUID | None], Awaitable[list[Call]]]
) -> AsyncIterator[list[Call]]:
    """All that `page` finds, a transaction each; calls that do not move hold up no others."""
    after = None
    while True:
        async with ctx["store"].begin() as work:
            calls = await page(work, after)
        yield calls
        if len(calls) < SWEEP:
            return
        after = calls[-1].id


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


def _fetch(event: CallEvent) -> JobRequest:
    # One job for each recording: that it failed is remembered, as a dead letter, for a day.
    return JobRequest(
        "call.ingest_recording",
        recording_of(cast("UUID", event.call_id), event),
        job_id=f"call.ingest_recording:{event.id}",
    )
