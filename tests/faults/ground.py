"""Where faults are tried out: real servers, a campaign, calls that are due, and the books."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from uuid import UUID, uuid4

from jobs.campaign.schedule_calls import attempt_id, schedule_calls
from jobs.campaign.status import with_status
from jobs.context import JobContext
from jobs.demo.invariants import unexplained
from jobs.engine import DeadLetterStore, JobRequest, Pool, create_pool
from jobs.rules.fictional import fictional_number
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CALL, CallStatus, CampaignStatus
from jobs.store.model import Call, Campaign, LeadFilter, NewLead
from jobs.store.postgres.store import PostgresStore
from jobs.voice import SimulatorClient, Trouble
from jobs.voice.protocol import Accepted, CallRequest, CallState, Refused
from tests.faults.processes import SPAWN, Provider, SharedClock, provide, recover

NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
"""Noon in New York, on a Wednesday."""
LATER, FASTER = timedelta(hours=1), 60.0
"""When things are put right each call has ended, and each wait is short."""
QUEUES = ("call_tasks", "lead_tasks")
SWEEP_EVERY = 3.0
PATIENCE = 180.0
POLICY = CampaignPolicy(pacing=Pacing(calls_per_second=None), breaker=Breaker(min_calls=10**6))


async def unpublished(jobs: Sequence[JobRequest], /) -> None:
    """Takes the jobs that follow from preparing a test, and forgets them."""


@dataclass(frozen=True)
class Ground:
    """One campaign, its provider, and what all processes are told."""

    redis_url: str
    database_url: str
    folder: Path
    clock: SharedClock
    provider: Provider
    pool: Pool
    store: PostgresStore
    quiet: PostgresStore
    """The same, for preparing: no job follows from what is done here."""
    voice: SimulatorClient
    campaign: Campaign
    kinds: int
    """How many fates a request may have."""
    calls: list[UUID] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    """Those of the workers that are made to die."""
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "VOICE_URL": f"simulator+unix:{self.folder / 'voice.sock'}",
            "RECORDINGS_URL": str(self.folder / "recordings"),
            "RINGLINE_CLOCK": str(self.clock.line),
            "TASK_DEFAULT_RETRY_DELAY": "0.1",
        }

    async def batches(self, wanted: int) -> list[list[Call]]:
        """Batches of due calls; in each, the provider's first answers are of every kind."""
        by_kind: dict[object, list[str]] = {}
        while len(by_kind) < self.kinds or min(map(len, by_kind.values())) < wanted:
            number = fictional_number(next(self.numbers))
            by_kind.setdefault(await self._fate(number), []).append(number)
        batches = list(zip(*by_kind.values(), strict=False))[:wanted]
        calls = await self._scheduled([number for batch in batches for number in batch])
        self.calls.extend(call.id for call in calls)
        size = self.kinds
        return [calls[start : start + size] for start in range(0, len(calls), size)]

    async def _fate(self, number: str) -> object:
        """What the provider will answer to the first request for this number."""
        oracle = self.provider.simulator(self.clock, ledger=False)
        try:
            key = uuid4()
            answer = (await oracle.place([CallRequest(key, number)])).get(key)
            match answer:
                case Accepted():
                    return "accepted"
                case Refused(permanent=permanent, retry_after=seconds):
                    return permanent, seconds
            return "unanswered" if await oracle.lookup([key]) else "dropped"
        finally:
            await oracle.close()

    async def _scheduled(self, numbers: Sequence[str]) -> list[Call]:
        now, source = self.clock.now(), uuid4().hex
        leads = [NewLead(one, timezone="America/New_York", source=source) for one in numbers]
        async with self.store.begin() as work:
            ids = await work.leads.add(leads, now)
            await work.campaigns.enrol(self.campaign.id, LeadFilter(source=source), now)
        ctx = cast("JobContext", {"store": self.quiet, "clock": self.clock})
        while await schedule_calls(ctx, self.campaign.id):
            pass
        calls = []
        async with self.store.begin() as work:
            for number in numbers:
                (enrolment,) = await work.campaigns.enrolments_of(ids[number])
                calls.append(await work.calls.get(attempt_id(enrolment.id, 1)))
        return calls

    async def put_right(self) -> None:
        """An hour later: the jobs of the dead run elsewhere, and what they left is found.

        Raises AssertionError when some call's end, or its follow-up, is never carried over.
        """
        self.clock.jump(LATER, FASTER, time.time())
        started = swept = time.monotonic()
        with _process(recover, self.environment, [*self.queues, *QUEUES]):
            while waiting := await self._unsettled():
                now = time.monotonic()
                if now > started + PATIENCE:
                    letters = await DeadLetterStore(self.pool).find(limit=3)
                    raise AssertionError(f"{len(waiting)} things wait: {waiting[:3]}; {letters}")
                await self.store.relay(timedelta(0))
                if now > swept + SWEEP_EVERY:
                    swept = now
                    await self.pool.enqueue_job("call.reconcile")
                await asyncio.sleep(0.2)

    async def _unsettled(self) -> list[str]:
        async with self.store.begin() as work:
            calls = await work.calls.get_many(self.calls)
        waiting = [f"{call.id} is {call.status}" for call in calls if call.processed_at is None]
        # The last calls' follow-ups may still be on their way when the calls are done with.
        rows = await self.store.outbox_size()
        return [*waiting, f"{rows} rows of the outbox"] if rows else waiting

    async def books(self) -> "Books":
        """Closes the books; see Books."""
        asked = Counter(map(UUID, self.provider.ledger.read_text().split()))
        async with self.store.begin() as work:
            calls = await work.calls.get_many(self.calls)
            histories = await work.analytics.histories(self.campaign.id)
        known = await self.voice.lookup(self.calls)
        wrong = [
            f"call {call.id} ({call.status}, {call.requests} requests): {why}"
            for call in calls
            if (why := _wrong(call, known.get(call.id), asked[call.id])) is not None
        ]
        wrong += [
            f"{history.leads} leads: {why}"
            for history in histories
            if (why := unexplained(history, POLICY.retries, self.campaign.status)) is not None
        ]
        books = await self.voice.records()
        return Books(
            calls=len(calls),
            keys=len(asked),
            requests=asked.total(),
            accepted=books.accepted,
            with_provider_id=sum(call.provider_id is not None for call in calls),
            twice=books.repeated_keys,
            outbox=await self.store.outbox_size(),
            wrong=tuple(wrong),
        )


@dataclass(frozen=True)
class Books:
    """What the provider says, beside what we say.

    keys: calls that the provider was asked for. requests: how often, in all. twice: requests for
    a call that it had taken already. wrong: calls and leads in a state that nothing explains.
    """

    calls: int
    keys: int
    requests: int
    accepted: int
    with_provider_id: int
    twice: int
    outbox: int
    wrong: tuple[str, ...]

    @property
    def balance(self) -> bool:
        even = self.accepted == self.with_provider_id
        return even and not (self.twice or self.outbox or self.wrong)


def _wrong(call: Call, known: CallState | None, asked: int) -> str | None:
    """Why this call cannot have ended so, if the provider knows that much of it."""
    if not CALL.is_terminal(call.status):
        return "has not ended"
    if asked > call.requests:
        return f"the provider was asked {asked} times"
    if known is None:
        right = call.status is CallStatus.FAILED and call.provider_id is None
        return None if right else "the provider never took it"
    if call.provider_id != known.provider_id:
        return f"the provider's id is {known.provider_id}, ours {call.provider_id}"
    return None if call.status == known.payload["status"] else f"it was {known.payload['status']}"


@contextmanager
def _process(target: Callable[..., None], *args: object) -> Iterator[None]:
    process = SPAWN.Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@asynccontextmanager
async def open_ground(
    redis_url: str, database_url: str, *, seed: int, trouble: Trouble, kinds: int
) -> AsyncIterator[Ground]:
    """A campaign that runs, and its provider, in a process of its own.

    kinds: how many different first answers `trouble` may lead to.
    """
    clock = SharedClock(NOON, 1.0, time.time())
    with TemporaryDirectory(prefix="rl-") as name:
        folder = Path(name)
        provider = Provider(seed, trouble, folder / "ledger")
        provider.ledger.touch()
        ready = SPAWN.Event()
        with _process(provide, provider, clock, folder / "voice.sock", ready):
            await asyncio.to_thread(ready.wait, PATIENCE)
            async with await create_pool(redis_url, clock=clock) as pool:
                store, quiet = [
                    await PostgresStore.open(database_url, publish=publish, clock=clock)
                    for publish in (pool.enqueue_many, unpublished)
                ]
                voice = SimulatorClient(folder / "voice.sock")
                try:
                    campaign = await _running_campaign(store, clock)
                    yield Ground(
                        redis_url, database_url, folder, clock, provider, pool, store, quiet,
                        voice, campaign, kinds,
                    )  # fmt: skip
                finally:
                    await voice.close()
                    await store.close()
                    await quiet.close()


async def _running_campaign(store: PostgresStore, clock: SharedClock) -> Campaign:
    async with store.begin() as work:
        made = await work.campaigns.add("default", "faults", POLICY, clock.now())
        await work.campaigns.save(with_status(made, CampaignStatus.RUNNING, clock.now()))
        return await work.campaigns.get(made.id)
