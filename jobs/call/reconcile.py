"""Reconciliation: recovers lost callbacks, provider responses and jobs.

Each follow-up job can be derived from a row's state, so the loss of Redis, a worker or a callback
only delays a call. Nothing is dialed here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from jobs.call.events import (
    StatusPayload,
    apply_status,
    enqueue_process_completed,
    recording_arguments,
)
from jobs.context import JobContext
from jobs.engine import JobRequest, job, retry
from jobs.rules.states import CALL, CallStatus
from jobs.store.model import Call, CallEvent
from jobs.store.protocol import Work
from jobs.voice.protocol import CallState

REQUEST_GRACE = timedelta(seconds=10)
"""Real time after which a request has been answered or is lost.

Longer than the sum of `dispatch.ASK_WITHIN` and `dispatch.ANSWER_WITHIN`.
"""
STUCK_AFTER = timedelta(minutes=10)
"""Business time after which a call that has not ended is looked up."""
SWEEP = 1000
"""Rows per transaction of a sweep."""
RECORDINGS_FOR = timedelta(days=3)
"""Business time during which a recording that could not be fetched is requested again."""


@job("call.reconcile", timeout=60)
@retry()
async def reconcile(ctx: JobContext, *call_ids: UUID) -> None:
    """Look up calls at the provider; without ids, re-enqueue all overdue work.

    Args:
        ctx: Job context.
        call_ids: Calls to look up. A call that the provider does not know has failed.
    """
    if call_ids:
        await _look_up(ctx, call_ids)
    else:
        await _sweep(ctx)


async def _look_up(ctx: JobContext, call_ids: tuple[UUID, ...]) -> None:
    async with ctx["store"].begin() as work:
        calls = await work.calls.get_many(call_ids)
    open_ids = [call.id for call in calls if not CALL.is_terminal(call.status)]
    if not open_ids:
        return
    clock = ctx["clock"]
    # Taken before the lookup, which does not see a call dialed during it.
    now, answered_before = clock.now(), clock.ago(REQUEST_GRACE)
    states = await ctx["voice"].lookup(open_ids)
    async with ctx["store"].begin() as work:
        calls = await work.calls.get_many(open_ids, lock=True)
        changes, recent = [], []
        for call in calls:
            if call.id not in states and call.dialed_at and call.dialed_at > answered_before:
                recent.append(call)
                continue
            after = apply_lookup(call, states.get(call.id), now)
            if after != call:
                changes.append((call, after))
        await work.calls.save([after for _, after in changes])
        enqueue_process_completed(work, changes)
        if recent:
            work.enqueue(
                "call.reconcile",
                *(call.id for call in recent),
                defer_until=now + (now - answered_before),
            )


def apply_lookup(call: Call, state: CallState | None, now: datetime) -> Call:
    """Return a call with the result of a lookup applied.

    Args:
        call: The call.
        state: State of the call at the provider; None if the provider does not know the call,
            which fails then, without a SIP code.
        now: Current time, timezone-aware.
    """
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
    """Re-enqueue the work that rows still need and that is overdue."""
    clock = ctx["clock"]
    now, answered_before = clock.now(), clock.ago(REQUEST_GRACE)
    stuck_before = min(now - STUCK_AFTER, answered_before)

    async def overdue(work: Work, after: UUID | None) -> list[Call]:
        return await work.calls.overdue(
            scheduled_before=stuck_before, dialed_before=stuck_before, limit=SWEEP, after=after
        )

    async def unapplied(work: Work, after: UUID | None) -> list[Call]:
        return await work.calls.with_unapplied_events(answered_before, SWEEP, after)

    async for calls in _pages(ctx, overdue):
        await ctx["redis"].enqueue_many([_follow_up(call, now) for call in calls])
    async for calls in _pages(ctx, unapplied):
        await ctx["redis"].enqueue_many([_request("call.apply_event", call, now) for call in calls])
    async with ctx["store"].begin() as work:
        recordings = await work.calls.unfetched_recordings(
            received_after=now - RECORDINGS_FOR, received_before=stuck_before, limit=SWEEP
        )
    await ctx["redis"].enqueue_many([_ingest_request(event) for event in recordings])


async def _pages(
    ctx: JobContext, page: Callable[[Work, UUID | None], Awaitable[list[Call]]]
) -> AsyncIterator[list[Call]]:
    """Yield pages of calls in the order of their ids, with one transaction per page."""
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
    # One job per call, version and period, however often the loss is found.
    period = int(now.timestamp() // STUCK_AFTER.total_seconds())
    job_id = f"{function}:{call.id}:{call.version}:{period}"
    return JobRequest(function, (call.id,), job_id=job_id)


def _ingest_request(event: CallEvent) -> JobRequest:
    # One job per recording: its id blocks another one for as long as Redis keeps the result.
    return JobRequest(
        "call.ingest_recording",
        recording_arguments(cast("UUID", event.call_id), event),
        job_id=f"call.ingest_recording:{event.id}",
    )
