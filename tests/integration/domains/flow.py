"""Test bench that runs the domains' jobs one after another, without a worker.

The store is PostgreSQL or in memory, the clock is frozen, and the provider follows a script.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from obstore.store import MemoryStore as MemoryRecordings

from jobs import analytics, call, campaign, lead
from jobs.campaign.schedule_calls import attempt_id
from jobs.context import JobContext
from jobs.engine import JobRequest
from jobs.inbox import receive
from jobs.rules.policy import CampaignPolicy
from jobs.store.memory import MemoryStore
from jobs.store.model import Call, Enrolment, LeadFilter, NewLead
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from jobs.testing.clock import FrozenClock
from jobs.testing.voice import FixedPlan
from jobs.voice.simulator.faults import Trouble
from jobs.voice.simulator.provider import Simulator
from jobs.voice.simulator.script import CallScript

NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
"""Noon in New York, on a Wednesday."""
NUMBER = "+12125550101"
JOBS = {
    job.__qualname__: job
    for domain in (analytics, call, campaign, lead)
    for job in domain.WorkerSettings.functions.functions
}


class Queue:
    """Replacement for Redis: published jobs wait here until `Flow.drain` runs them."""

    def __init__(self) -> None:
        self.waiting: list[JobRequest] = []
        self._seen: set[str] = set()

    async def enqueue_many(self, requests: Sequence[JobRequest], /) -> list[None]:
        for request in requests:
            if request.job_id is None or request.job_id not in self._seen:
                self.waiting.append(request)
                self._seen.add(request.job_id or "")
        return [None] * len(requests)

    def flush(self) -> None:
        """Lose all jobs and all results, so that job ids can be used again."""
        self.waiting.clear()
        self._seen.clear()


@dataclass
class Flow:
    """Running campaign, with methods that advance it."""

    store: Store
    clock: FrozenClock
    voice: Simulator
    queue: Queue
    campaign_id: UUID
    recordings: MemoryRecordings = field(default_factory=MemoryRecordings)

    @property
    def ctx(self) -> JobContext:
        context = {
            "store": self.store,
            "clock": self.clock,
            "voice": self.voice,
            "redis": self.queue,
            "recordings": self.recordings,
        }
        return cast("JobContext", context)

    async def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await JOBS[name](self.ctx, *args, **kwargs)

    async def drain(self) -> None:
        """Run the due jobs and their follow-ups until only deferred jobs wait."""
        while True:
            await self.voice.settle()
            due = [request for request in self.queue.waiting if self._is_due(request)]
            if not due:
                return
            self.queue.waiting = [r for r in self.queue.waiting if not self._is_due(r)]
            for request in due:
                await self.run(request.function, *request.args, **request.kwargs)

    def _is_due(self, request: JobRequest) -> bool:
        return request.defer_until is None or request.defer_until <= self.clock.now()

    async def run_next(self, choice: int) -> bool:
        """Run one of the due jobs; return False if there is none."""
        await self.voice.settle()
        due = [request for request in self.queue.waiting if self._is_due(request)]
        if not due:
            return False
        request = due[choice % len(due)]
        self.queue.waiting.remove(request)
        await self.run(request.function, *request.args, **request.kwargs)
        return True

    async def schedule(self) -> None:
        """Run one tick of the campaign, and the due follow-ups."""
        await self.run("campaign.tick")
        await self.drain()

    async def pass_time(self, **duration: float) -> None:
        self.clock.advance(timedelta(**duration))
        await self.drain()

    async def calls(self, lead_id: UUID | None = None) -> list[Call]:
        async with self.store.begin() as work:
            leads = await work.leads.ids(LeadFilter())
            calls = []
            for id_ in [lead_id] if lead_id else leads:
                for enrollment in await work.campaigns.enrolments_of(id_):
                    ids = [attempt_id(enrollment.id, n + 1) for n in range(enrollment.calls)]
                    calls += await work.calls.get_many(ids)
        return calls

    async def enrollment(self) -> Enrolment:
        """Return the only enrollment."""
        async with self.store.begin() as work:
            (lead_id,) = await work.leads.ids(LeadFilter())
            (enrollment,) = await work.campaigns.enrolments_of(lead_id)
        return enrollment


@asynccontextmanager
async def open_flow(
    database_url: str | None,
    *,
    scripts: Mapping[str, Sequence[CallScript]] | None = None,
    leads: Sequence[NewLead] = (NewLead(NUMBER),),
    policy: CampaignPolicy | None = None,
    trouble: Trouble | None = None,
    now: datetime = NOON,
) -> AsyncIterator[Flow]:
    """Open a running campaign with all `leads` enrolled.

    Args:
        database_url: Database of the store; None means a store in memory.
        scripts: Scripts of a number's calls.
        leads: Leads of the campaign.
        policy: Policy of the campaign.
        trouble: Faults of the provider.
        now: Time of the frozen clock.
    """
    clock, queue = FrozenClock(now), Queue()
    store: Store = MemoryStore(clock=clock, publish=queue.enqueue_many)
    if database_url is not None:
        store = await PostgresStore.open(database_url, publish=queue.enqueue_many, clock=clock)
    voice = Simulator(
        FixedPlan(scripts or {}), clock, partial(receive, store, clock), trouble=trouble
    )
    try:
        async with store.begin() as work:
            await work.leads.add(leads, now)
            campaign = await work.campaigns.add(
                "default", "spring", policy or CampaignPolicy(), now
            )
            await work.campaigns.enrol(campaign.id, LeadFilter(), now)
        flow = Flow(store, clock, voice, queue, campaign.id)
        await flow.run("campaign.set_status", campaign.id, "start")
        yield flow
    finally:
        await voice.close()
        await store.close()
