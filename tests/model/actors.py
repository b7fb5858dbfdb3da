"""Who works on the queue of a property test: workers of ours, down to their scripts, and arq's own
worker; and the reading of what they leave in Redis."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import arq.worker
from arq.connections import ArqRedis
from arq.jobs import deserialize_result, serialize_result
from arq.worker import func
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.engine import deserialize, serialize
from jobs.engine.connection.script import Script
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.monitoring.counters import counter_update
from jobs.engine.queue import keys
from jobs.engine.queue.claim import Claim, Completion
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.operations import QueueOperations
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.worker.completer import Completer
from tests.model.queue_model import Held, QueueModel, Record

T = TypeVar("T")

NOBODY: Final = "nobody"
LONG: Final = 3600
"""Seconds of a delay that does not end by itself within a test."""


class Lossy(ScriptChannel):
    """A channel that can lose an answer: the script has run, and nobody is told."""

    loses_next = False

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Any,
        watch: bool = False,
        notify_first: bool = False,
    ) -> Any:
        answer = await super().call(script, keys, *args, watch=watch, notify_first=notify_first)
        if self.loses_next:
            self.loses_next = False
            raise RedisConnectionError("the answer was lost")
        return answer


class OurWorker:
    """One of ours, without its loop: it does what the test says, and knows what it believes.

    held: the claims that it has not given up, together with what the model knows of them. in_doubt:
    its last claim was not answered; unheard: the tokens of what such claims brought. listener: on
    which it hears of what is handed to it, if anybody listens.
    """

    def __init__(self, channel: Lossy, queues: Sequence[str], listener: Any = None) -> None:
        self.queues = list(queues)
        self.channel = channel
        self.claims = QueueOperations(channel, queues, lease=60)
        self.claims.handoff_window_ms = LONG * 1000  # time passes when the test says
        self.held: list[tuple[Claim, Held]] = []
        self.in_doubt = False
        self.unheard: set[str] = set()
        self.finisher = Completer(self.claims, on_settled=lambda _: None, observe=self._accepted)
        self._taken: set[str] = set()
        self.listens = listener is not None
        self._listener = listener
        if listener is not None:
            listener.subscribe(keys.HANDED + self.claims.handoff_name)
            assert listener.get_message(timeout=10)["type"] == "subscribe"

    def hold(self, claim: Claim, held: Held) -> None:
        """It gives up an earlier try of the id."""
        self.held = [one for one in self.held if one[1].job_id != claim.job_id]
        self.held.append((claim, held))

    def handed(self) -> Claim:
        """The next job that was handed to it."""
        told = self._listener.get_message(timeout=10)
        assert told["type"] == "message"
        return self.claims.handoff_claim(told["data"])

    def hear_nothing(self) -> None:
        """Its connection breaks, and Redis knows it."""
        if self.listens:
            self.listens = False
            self._listener.close()

    async def finish(
        self, batch: Sequence[tuple[Completion, OutcomeKind]], *, lossy: bool
    ) -> set[str]:
        """Give claims up; the ids of those that Redis took."""
        self._taken.clear()
        self.channel.loses_next = lossy
        for finish, ending in batch:
            claim = finish.claim
            finish.counter_update = counter_update(claim.queue, ending, 0)
            finish.outcome = Outcome(claim.job_id, "f", claim.queue, ending, 1, 0, 0, 0)
            self.finisher.add(finish)
        await self.finisher.drain()
        return set(self._taken)

    def _accepted(self, outcome: Outcome) -> None:
        self._taken.add(outcome.job_id)


class _Noted(arq.worker.Worker):
    """arq's worker, which notes what it has claimed: id and score."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.noted: list[tuple[str, int]] = []

    async def run_job(self, job_id: str, score: int) -> None:
        self.noted.append((job_id, score))
        await super().run_job(job_id, score)


class StockWorker:
    """arq's own worker; its jobs wait to be told how they end.

    running: those that it has started and not ended, by id: the score that it read, the job's
    future, and the task.
    """

    def __init__(self, pool: ArqRedis, queue: str) -> None:
        self.queue = queue
        self.running: dict[str, tuple[int, asyncio.Future[str], asyncio.Task[Any]]] = {}
        self._started: dict[str, asyncio.Future[str]] = {}
        self._moved = asyncio.Event()
        self._worker = _Noted(
            [func(self._wait, name="f")],
            redis_pool=pool,
            queue_name=queue,
            handle_signals=False,
            max_tries=1_000_000,
            job_serializer=serialize,
            job_deserializer=deserialize,
        )

    async def _wait(self, ctx: dict[str, Any], *args: object) -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._started[ctx["job_id"]] = told
        self._moved.set()
        return await told

    async def poll(self, limit: int) -> list[tuple[str, int]]:
        """One turn of its loop; the jobs that it started, with the score that it read of each."""
        self._worker.queue_read_limit = limit
        self._worker.noted.clear()
        self._started.clear()
        before = set(self._worker.tasks.values())
        await self._worker._poll_iteration()
        tasks = {i: task for i, task in self._worker.tasks.items() if task not in before}
        for task in tasks.values():
            task.add_done_callback(lambda _: self._moved.set())
        while any(not task.done() and i not in self._started for i, task in tasks.items()):
            await self._moved.wait()
            self._moved.clear()
        claimed = list(self._worker.noted)
        for job_id, score in claimed:
            if job_id in self._started:
                self.running[job_id] = (score, self._started[job_id], tasks[job_id])
        return claimed

    async def end(self, job_id: str, outcome: str | Exception | None) -> None:
        """The job returns, raises, or is cancelled by a shutdown."""
        _, told, task = self.running.pop(job_id)
        if outcome is None:
            told.cancel()
        elif isinstance(outcome, Exception):
            told.set_exception(outcome)
        else:
            told.set_result(outcome)
        await task

    async def stop(self) -> None:
        for job_id in list(self.running):
            await self.end(job_id, None)


def result_of(text: str, queue: str) -> bytes:
    """A kept result."""
    data = serialize_result(
        "f", (), {}, 1, 0, True, text, 0, 0, "", queue, "", serializer=serialize
    )
    assert data is not None
    return data


def letter_of(job_id: str, queue: str, payload: bytes) -> DeadLetter:
    """A dead letter."""
    now = datetime.now(UTC)
    return DeadLetter.of(
        RuntimeError("no"), job_id=job_id, function="f", queue=queue, payload=payload, tries=1,
        enqueued_at=now, failed_at=now,
    )  # fmt: skip


def read_records(redis: Any, model: QueueModel) -> dict[str, Record]:
    """What Redis holds of the model's ids."""
    ids = list(model.records)
    with redis.pipeline(transaction=True) as pipe:
        for queue in sorted(set(model.queues.values())):
            pipe.zrange(queue, 0, -1, withscores=True)
        for prefix in (keys.JOB, keys.IN_PROGRESS, keys.RETRY, keys.RESULT):
            pipe.mget([prefix + job_id for job_id in ids])
        pipe.hgetall(keys.LOST)
        pipe.hgetall(keys.DEAD_LETTERS)
        pipe.zrange(keys.ABORT, 0, -1, withscores=True)
        *queues, payloads, owners, tries, results, lost, letters, aborts = pipe.execute()
    places = {job_id.decode(): score for queue in queues for job_id, score in queue}
    marks = {job_id.decode(): score for job_id, score in aborts}
    strange = (places.keys() | marks.keys()) - set(ids)
    assert not strange
    return {
        job_id: Record(
            places.get(job_id),
            payload,
            None if owner is None else owner.decode(),
            int(used or 0),
            int(lost.get(job_id.encode(), 0)),
            int(lost.get((keys.UNKNOWN + job_id).encode(), 0)),
            None if result is None else _text(result),
            letters.get(job_id.encode()),
            marks.get(job_id),
        )
        for job_id, payload, owner, used, result in zip(
            ids, payloads, owners, tries, results, strict=True
        )
    }


def _text(result: bytes) -> str:
    return str(deserialize_result(result, deserializer=deserialize).result)
