"""Actors of the queue's property test: our workers, reduced to their script calls, and arq's
worker. Also reads the state of Redis."""

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
"""A delay in seconds that does not end by itself during a test."""


class LossyChannel(ScriptChannel):
    """A channel that can lose a reply after the script has run."""

    loses_next_reply = False

    async def call(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Any,
        watch: bool = False,
        notify_first: bool = False,
    ) -> Any:
        reply = await super().call(script, keys, *args, watch=watch, notify_first=notify_first)
        if self.loses_next_reply:
            self.loses_next_reply = False
            raise RedisConnectionError("the reply was lost")
        return reply


class OurWorker:
    """Our worker without its loop. The test decides what it does.

    Attributes:
        held: Claims that the worker holds, each with the model's record of it.
        is_unanswered: Whether the reply to the last claim was lost.
        unanswered: Tokens of claims whose reply was lost.
        listens: Whether the worker receives hand-offs.
    """

    def __init__(self, channel: LossyChannel, queues: Sequence[str], listener: Any = None) -> None:
        self.queues = list(queues)
        self.channel = channel
        self.claims = QueueOperations(channel, queues, lease=60)
        self.claims.handoff_window_ms = LONG * 1000  # only the test lets time pass
        self.held: list[tuple[Claim, Held]] = []
        self.is_unanswered = False
        self.unanswered: set[str] = set()
        self.completer = Completer(self.claims, on_settled=lambda _: None, observe=self._accepted)
        self._hold_handoff: set[str] = set()
        self.listens = listener is not None
        self._listener = listener
        if listener is not None:
            listener.subscribe(keys.HANDED + self.claims.handoff_name)
            assert listener.get_message(timeout=10)["type"] == "subscribe"

    def hold(self, claim: Claim, held: Held) -> None:
        """Hold a claim. A new claim of an id rescores an older one."""
        self.held = [entry for entry in self.held if entry[1].job_id != claim.job_id]
        self.held.append((claim, held))

    def read_handoff(self) -> Claim:
        """Return the claim in the next hand-off message."""
        message = self._listener.get_message(timeout=10)
        assert message["type"] == "message"
        return self.claims.handoff_claim(message["data"])

    def stop_listening(self) -> None:
        """Close the connection that receives hand-offs."""
        if self.listens:
            self.listens = False
            self._listener.close()

    async def finish(
        self, batch: Sequence[tuple[Completion, OutcomeKind]], *, lossy: bool
    ) -> set[str]:
        """Send completions; return the ids of those that Redis accepted."""
        self._hold_handoff.clear()
        self.channel.loses_next_reply = lossy
        for completion, kind in batch:
            claim = completion.claim
            completion.counter_update = counter_update(claim.queue, kind, 0)
            completion.outcome = Outcome(claim.job_id, "f", claim.queue, kind, 1, 0, 0, 0)
            self.completer.add(completion)
        await self.completer.drain()
        return set(self._hold_handoff)

    def _accepted(self, outcome: Outcome) -> None:
        self._hold_handoff.add(outcome.job_id)


class _RecordingWorker(arq.worker.Worker):
    """arq's worker, recording the id and score of each job that it claims."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.claims_read: list[tuple[str, int]] = []

    async def run_job(self, job_id: str, score: int) -> None:
        self.claims_read.append((job_id, score))
        await super().run_job(job_id, score)


class ArqWorker:
    """arq's worker. Its jobs wait until the test ends them.

    Attributes:
        running: Running jobs by id: the score that the worker read, the future that the job
            awaits, and the task.
    """

    def __init__(self, pool: ArqRedis, queue: str) -> None:
        self.queue = queue
        self.running: dict[str, tuple[int, asyncio.Future[str], asyncio.Task[Any]]] = {}
        self._started: dict[str, asyncio.Future[str]] = {}
        self._progress = asyncio.Event()
        self._worker = _RecordingWorker(
            [func(self._wait, name="f")],
            redis_pool=pool,
            queue_name=queue,
            handle_signals=False,
            max_tries=1_000_000,
            job_serializer=serialize,
            job_deserializer=deserialize,
        )

    async def _wait(self, ctx: dict[str, Any], *args: object) -> str:
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._started[ctx["job_id"]] = outcome
        self._progress.set()
        return await outcome

    async def poll(self, limit: int) -> list[tuple[str, int]]:
        """Run one turn of the worker's loop; return the ids and scores of the jobs that it
        started."""
        self._worker.queue_read_limit = limit
        self._worker.claims_read.clear()
        self._started.clear()
        before = set(self._worker.tasks.values())
        await self._worker._poll_iteration()
        tasks = {i: task for i, task in self._worker.tasks.items() if task not in before}
        for task in tasks.values():
            task.add_done_callback(lambda _: self._progress.set())
        while any(not task.done() and i not in self._started for i, task in tasks.items()):
            await self._progress.wait()
            self._progress.clear()
        claimed = list(self._worker.claims_read)
        for job_id, score in claimed:
            if job_id in self._started:
                self.running[job_id] = (score, self._started[job_id], tasks[job_id])
        return claimed

    async def end(self, job_id: str, outcome: str | Exception | None) -> None:
        """Let a job return a text, raise an error, or (None) be canceled by a shutdown."""
        _, future, task = self.running.pop(job_id)
        if outcome is None:
            future.cancel()
        elif isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        await task

    async def stop(self) -> None:
        for job_id in list(self.running):
            await self.end(job_id, None)


def serialize_text_result(text: str, queue: str) -> bytes:
    """Serialize the result of a job that returned `text`."""
    data = serialize_result(
        "f", (), {}, 1, 0, True, text, 0, 0, "", queue, "", serializer=serialize
    )
    assert data is not None
    return data


def make_dead_letter(job_id: str, queue: str, payload: bytes) -> DeadLetter:
    """Create a dead letter."""
    now = datetime.now(UTC)
    return DeadLetter.of(
        RuntimeError("no"), job_id=job_id, function="f", queue=queue, payload=payload, tries=1,
        enqueued_at=now, failed_at=now,
    )  # fmt: skip


def read_records(redis: Any, model: QueueModel) -> dict[str, Record]:
    """Read the state of the model's ids from Redis."""
    ids = list(model.records)
    with redis.pipeline(transaction=True) as pipe:
        for queue in sorted(set(model.queues.values())):
            pipe.zrange(queue, 0, -1, withscores=True)
        for prefix in (keys.JOB, keys.IN_PROGRESS, keys.RETRY, keys.RESULT):
            pipe.mget([prefix + job_id for job_id in ids])
        pipe.hgetall(keys.LOST)
        pipe.hgetall(keys.DEAD_LETTERS)
        pipe.zrange(keys.ABORT, 0, -1, withscores=True)
        *queues, payloads, owners, tries, results, lost, dead_letters, aborts = pipe.execute()
    scores = {job_id.decode(): score for queue in queues for job_id, score in queue}
    marks = {job_id.decode(): score for job_id, score in aborts}
    assert not (scores.keys() | marks.keys()) - set(ids), "unknown ids"
    return {
        job_id: Record(
            scores.get(job_id),
            payload,
            None if owner is None else owner.decode(),
            int(used or 0),
            int(lost.get(job_id.encode(), 0)),
            int(lost.get((keys.UNKNOWN + job_id).encode(), 0)),
            None if result is None else _text(result),
            dead_letters.get(job_id.encode()),
            marks.get(job_id),
        )
        for job_id, payload, owner, used, result in zip(
            ids, payloads, owners, tries, results, strict=True
        )
    }


def _text(result: bytes) -> str:
    return str(deserialize_result(result, deserializer=deserialize).result)
