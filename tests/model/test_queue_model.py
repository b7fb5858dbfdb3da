"""Redis matches the model after any sequence of operations by producers, our workers and arq's
worker, and every promised job finishes exactly once."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import Any, ClassVar

import pytest
from arq.jobs import Job
from arq.worker import JobExecutionFailed, Retry
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.engine import DeadLetterStore, JobRequest, deserialize
from jobs.engine.queue import keys
from jobs.engine.queue.claim import NO_HISTORY, Claim, Completion
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.outcome import OutcomeKind
from tests.model.actors import (
    LONG,
    ArqWorker,
    OurWorker,
    make_dead_letter,
    read_records,
    serialize_text_result,
)
from tests.model.environment import Environment, open_environment, url_without_command
from tests.model.events import IDS, ONE, TWO, events
from tests.model.queue_model import Expected, Held, QueueModel, Record

HOUR_MS = LONG * 1000


class QueueMachine(RuleBasedStateMachine):
    environment: ClassVar[Environment]

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.environment.redis
        self.redis.flushdb()
        self.model = QueueModel(IDS)
        self.dead_letters = DeadLetterStore(self.environment.pool)
        served = ([ONE, TWO], [TWO, ONE], [ONE])
        self.ours = [
            OurWorker(channel, queues, self.redis.pubsub())
            for channel, queues in zip(self.environment.channels, served, strict=True)
        ]
        self.arq_worker = ArqWorker(self.environment.arq_pool, ONE)

    @rule(event=events)
    def happens(self, event: tuple[str, dict[str, Any]]) -> None:
        """Run one event. A single rule covers all events, because hypothesis omits many rules from
        an example, and deep states need most of the events."""
        name, arguments = event
        getattr(self, name)(**arguments)

    def score(self, job_id: str) -> float:
        """Return the id's score in its queue."""
        score: float | None = self.redis.zscore(IDS[job_id], job_id)
        assert score is not None
        return score

    def due(self, job_id: str) -> float:
        """Return the due time of a job, which may be claimed."""
        return abs(self.score(job_id))

    # --- producers

    def pool_enqueues(self, chosen: set[str], deferred: bool) -> None:
        delay = LONG if deferred else None
        before = self.environment.now()
        numbers = {job_id: next(self.environment.serial) for job_id in sorted(chosen)}
        jobs = self.environment.run(
            self.environment.pool.enqueue_many(
                [
                    JobRequest("f", (number,), job_id=job_id, queue=IDS[job_id], defer_by=delay)
                    for job_id, number in numbers.items()
                ]
            )
        )
        for job_id, job in zip(numbers, jobs, strict=True):
            record = self.model.records[job_id]
            is_free = self.model.may_enqueue(job_id) and not record.running_without_payload
            assert (job is not None) == is_free
            if not is_free:
                continue
            handoff = self._handed_off(job_id) if len(chosen) == 1 and not deferred else None
            self._enqueued(job_id, before + (delay or 0) * 1000, numbers[job_id])
            if handoff is not None:
                self._hold_handoff(*handoff)

    def _handed_off(self, job_id: str) -> tuple[OurWorker, Claim] | None:
        """Return the worker that received the job by hand-off, and its claim. If a waiting worker
        listens, one of them received it. A worker that could not be reached no longer waits."""
        queue = IDS[job_id]
        popped = self.model.waiting[queue]
        names = self.redis.zrangebyscore(keys.WAITING + queue, self.environment.now(), "inf")
        waiting = {name.decode() for name in names}
        self.model.waiting[queue], popped = waiting, popped - waiting
        listening = {worker.claims.handoff_name: worker for worker in self.ours if worker.listens}
        if self.score(job_id) > 0:
            if self.model.may_be_handed_off(job_id):
                assert not waiting
                assert not popped & listening.keys()
            return None
        assert self.model.may_be_handed_off(job_id)
        (receiver,) = popped & listening.keys()
        worker = listening[receiver]
        return worker, worker.read_handoff()

    def _hold_handoff(self, worker: OurWorker, claim: Claim) -> None:
        record = self.model.records[claim.job_id]
        assert (claim.queue, claim.payload) == (IDS[claim.job_id], record.payload)
        assert claim.history == NO_HISTORY
        assert claim.claimed_at <= monotonic()
        held = self.model.claimed(claim.job_id, claim.token)
        assert float(claim.score) == held.due
        worker.hold(claim, held)

    def arq_pool_enqueues(self, job_id: str, deferred: bool) -> None:
        if self.model.records[job_id].running_without_payload:
            return  # as in arq, the completion of the running job would remove the new one
        delay = LONG if deferred else None
        before, number = self.environment.now(), next(self.environment.serial)
        job = self.environment.run(
            self.environment.arq_pool.enqueue_job(
                "f", number, _job_id=job_id, _queue_name=IDS[job_id], _defer_by=delay
            )
        )
        assert (job is not None) == self.model.may_enqueue(job_id)
        if job is not None:
            self._enqueued(job_id, before + (delay or 0) * 1000, number)
        while not deferred and job is not None and self.environment.now() < self.score(job_id):
            pass  # arq rounds the time, so the job may be due half a millisecond later

    def _enqueued(self, job_id: str, earliest: float, number: int) -> None:
        at, payload = self.due(job_id), self.redis.get(keys.JOB + job_id)
        assert earliest <= at <= earliest + 5000
        assert payload is not None
        assert deserialize(payload)["a"] == [number]
        self.model.enqueued(job_id, at, payload)

    def payload_expires(self, job_id: str) -> None:
        self.redis.delete(keys.JOB + job_id)
        self.model.expired(job_id)

    def job_is_aborted(self, job_id: str) -> None:
        job = Job(job_id, self.environment.arq_pool, IDS[job_id], deserialize)
        now = self.environment.now()
        with suppress(TimeoutError, RuntimeError, JobExecutionFailed):
            self.environment.run(job.abort(timeout=0, poll_delay=0))
        mark = self.redis.zscore(keys.ABORT, job_id)
        assert mark is not None
        self.model.abort_requested(job_id, mark, now)

    def late_abort_moves_the_id(self, job_id: str) -> None:
        """`Job.abort()` read that the job is deferred, but meanwhile the job runs or is
        finished."""
        self.redis.zadd(IDS[job_id], {job_id: 1})
        self.model.records[job_id].at = 1

    def dead_letter_is_retried(self, index: int) -> None:
        dead = [i for i, record in self.model.records.items() if record.dead_letter is not None]
        job_id = (dead or list(IDS))[index % len(dead or IDS)]
        record = self.model.records[job_id]
        before = self.environment.now()
        is_retried = self.environment.run(self.dead_letters.retry(job_id))
        is_free = record.payload is None and not record.running_without_payload
        assert is_retried == (record.dead_letter is not None and is_free)
        if is_retried:
            at = self.score(job_id)
            assert before <= at <= before + 5000
            self.model.retried_dead(job_id, at)

    def dead_letter_is_discarded(self, job_id: str) -> None:
        record = self.model.records[job_id]
        assert self.environment.run(self.dead_letters.discard(job_id)) == (
            record.dead_letter is not None
        )
        record.dead_letter = None

    # --- time

    def hour_passes(self) -> None:
        """Deferred jobs become due, and results expire, so they no longer block their ids."""
        now = self.environment.now()
        for queue in (ONE, TWO):
            self.handoff_windows_end(queue)
        for job_id, record in self.model.records.items():
            if record.at is not None and record.at > now:
                record.at -= 2 * HOUR_MS
                self.redis.zadd(IDS[job_id], {job_id: record.at})
            self.redis.delete(keys.RESULT + job_id)
            record.result = None

    def lease_expires(self, index: int) -> None:
        """The holder crashed, or is frozen and will be late."""
        held = [i for i, record in self.model.records.items() if record.owner is not None]
        if held:
            self._expire_lease(held[index % len(held)])

    def _expire_lease(self, job_id: str) -> None:
        self.redis.delete(keys.IN_PROGRESS + job_id)
        self.model.records[job_id].owner = None

    # --- our workers

    def worker_claims(
        self,
        index_of_worker: int,
        limit: int,
        with_aborts: bool,
        replied: int,
        accepts_handoff: bool | None,
    ) -> None:
        """Claim jobs. If `replied` is 0, the reply is lost, and the worker's next claim requeues
        the jobs."""
        worker = self.ours[index_of_worker]
        requeues_first, worker.is_unanswered = worker.is_unanswered, not replied
        if requeues_first:
            self.model.requeue_unanswered(worker.unanswered)
        now = self.environment.now()
        undecided = self.model.undecided(worker.queues) if with_aborts else set()
        claimable = {
            queue: [i for i in self.model.claimable(queue, now) if i not in undecided]
            for queue in worker.queues
        }
        worker.channel.loses_next_reply = not replied
        try:
            reply = self.environment.run(
                worker.claims.claim(limit, with_aborts=with_aborts, accept_handoff=accepts_handoff)
            )
        except RedisConnectionError:
            if not requeues_first:  # otherwise the requeue failed, and no claim was made
                self._note_unanswered_claim(worker, chain(*claimable.values()), accepts_handoff)
            return
        finally:
            self._check_postponed(undecided, now)
        worker.unanswered.clear()
        if accepts_handoff is not None:
            accepts_handoff = accepts_handoff and not reply.claims
            self.model.accepts_handoff(
                worker.claims.handoff_name, worker.queues, accepts_handoff=accepts_handoff
            )
        counts = Counter(claim.queue for claim in reply.claims)
        total = sum(len(queued) for queued in claimable.values())
        assert len(reply.claims) == min(limit, total)
        for queue, queued in claimable.items():
            claimed = [claim.job_id for claim in reply.claims if claim.queue == queue]
            assert sorted(claimed) == sorted(queued[: counts[queue]]), (
                "the oldest are claimed first"
            )
        for claim in reply.claims:
            record = self.model.records[claim.job_id]
            assert claim.payload == record.payload
            history = claim.history
            assert (history.tries, history.expired_leases) == (record.tries, record.expired_leases)
            assert history.requeues == record.requeues
            assert history.abort_ms == (record.abort if with_aborts else None)
            held = self.model.claimed(claim.job_id, claim.token)
            assert float(claim.score) == held.due
            worker.hold(claim, held)
        assert (reply.remaining is None) == (len(reply.claims) == limit)
        if reply.remaining is not None:
            later = [
                record.at
                for job_id, record in self.model.records.items()
                if IDS[job_id] in worker.queues and record.at is not None and record.at > now
            ]
            assert (reply.next_due_in is not None) == bool(later)

    def _check_postponed(self, undecided: Iterable[str], now: float) -> None:
        """Check that a claim postponed jobs that are being aborted."""
        for job_id in undecided:
            at = self.score(job_id)
            if at != 1:
                assert now + 200 <= at <= now + 5000
                at += HOUR_MS  # only the test lets time pass
                self.redis.zadd(IDS[job_id], {job_id: at})
                self.model.records[job_id].at = at

    def _note_unanswered_claim(
        self, worker: OurWorker, claimable: Iterable[str], accepts_handoff: bool | None
    ) -> None:
        owners = {job_id: self.redis.get(keys.IN_PROGRESS + job_id) for job_id in claimable}
        claimed = {job_id: owner.decode() for job_id, owner in owners.items() if owner}
        for job_id, token in claimed.items():
            self.model.claimed(job_id, token)
        worker.unanswered.update(claimed.values())
        if accepts_handoff is not None:
            self.model.accepts_handoff(
                worker.claims.handoff_name,
                worker.queues,
                accepts_handoff=accepts_handoff and not claimed,
            )

    def handoff_windows_end(self, queue: str) -> None:
        """End all hand-off windows of a queue."""
        names = self.redis.zrange(keys.WAITING + queue, 0, -1)
        if names:
            self.redis.zadd(keys.WAITING + queue, dict.fromkeys(names, self.environment.now() - 1))
        self.model.waiting[queue].clear()

    def worker_stops_listening(self, index_of_worker: int) -> None:
        self.ours[index_of_worker].stop_listening()

    def worker_finishes(
        self, index_of_worker: int, first: int, how: list[str], replied: int
    ) -> None:
        holders = [worker for worker in self.ours if worker.held]
        if not holders:
            return
        worker = holders[index_of_worker % len(holders)]
        given_up = dict(zip(worker.held[first % len(worker.held) :], how, strict=False))
        worker.held = [entry for entry in worker.held if entry not in given_up]
        before = self.environment.now()
        batch, expectations = [], []
        for (claim, held), kind in given_up.items():
            completion, outcome, expected = self._completion_and_expectation(
                claim, held, kind, before
            )
            batch.append((completion, outcome))
            expectations.append((held, expected))
        accepted_ids = self.environment.run(worker.finish(batch, lossy=not replied))
        for held, expected in expectations:
            accepted = self.model.accepts(held, is_requeue=expected.requeued)
            if replied:
                assert (held.job_id in accepted_ids) == accepted
            if not accepted:
                continue
            if expected.at is not None:
                at = self.score(held.job_id)
                assert expected.at <= at <= expected.at + 5000
                ttl = self.redis.pttl(keys.JOB + held.job_id)
                assert ttl < 0 or ttl > HOUR_MS
                expected = Expected(expected.outcome, True, at, expected.tries, expected.unknown)
            self.model.ended(held, expected)

    def _completion_and_expectation(
        self, claim: Any, held: Held, kind: str, now: float
    ) -> tuple[Completion, OutcomeKind, Expected]:
        later, used = now + HOUR_MS, claim.history.tries + 1
        match kind:
            case "retry":
                return (
                    Completion.requeue(claim, tries=used),
                    OutcomeKind.RETRIED,
                    Expected("retried", True, tries=used),
                )
            case "retry later":
                completion = Completion.requeue(claim, delay_ms=HOUR_MS, tries=used)
                return completion, OutcomeKind.RETRIED, Expected("retried", True, later, used)
            case "release":
                return Completion.requeue(claim), OutcomeKind.RELEASED, Expected("released", True)
            case "unknown":
                completion = Completion.requeue(claim, delay_ms=HOUR_MS, unknown_function=True)
                return (
                    completion,
                    OutcomeKind.RELEASED,
                    Expected("released", True, later, unknown=True),
                )
            case "dead" if claim.payload is not None:
                dead_letter = make_dead_letter(claim.job_id, claim.queue, claim.payload)
                text = f"r{next(self.environment.serial)}"
                completion = Completion.finish(
                    claim,
                    serialize_text_result(text, held.queue),
                    HOUR_MS,
                    dead_letter=dead_letter.encode(),
                )
                return (
                    completion,
                    OutcomeKind.DEAD,
                    Expected("dead", result=text, dead_letter=claim.payload),
                )
            case "unkept":
                return Completion.finish(claim, None, 0), OutcomeKind.DONE, Expected("done")
        number = next(self.environment.serial)
        text, keep_ms = f"r{number}", HOUR_MS * (number % 2)
        completion = Completion.finish(claim, serialize_text_result(text, held.queue), keep_ms)
        return completion, OutcomeKind.DONE, Expected("done", result=text)

    def worker_renews(self, index_of_worker: int, how_many: int) -> None:
        holders = [worker for worker in self.ours if worker.held]
        if not holders:
            return
        worker = holders[index_of_worker % len(holders)]
        renewed = worker.held[:how_many]
        lost = self.environment.run(worker.claims.renew([claim for claim, _ in renewed]))
        for claim, held in renewed:
            is_held = self.model.renewed(held)
            assert (claim not in lost) == is_held
            if is_held:
                assert 0 < self.redis.pttl(keys.IN_PROGRESS + held.job_id) <= 60_000
            else:
                worker.held.remove((claim, held))

    def worker_reclaims(self, index_of_worker: int, too_late: bool) -> None:
        worker = self.ours[index_of_worker]
        until_ms = round(self.environment.now()) + (-1 if too_late else HOUR_MS)
        requeued = self.environment.run(worker.claims.reclaim(until_ms)).job_ids
        assert sorted(requeued) == ([] if too_late else sorted(self.model.reclaimed(worker.queues)))

    # --- arq's worker

    def arq_worker_polls(self, limit: int) -> None:
        claimable = self.model.arq_claimable(ONE, self.environment.now(), limit)
        if set(claimable) & self.arq_worker.running.keys():
            return  # arq's worker fails if it runs an id twice
        started = self.environment.run(self.arq_worker.poll(limit))
        assert [job_id for job_id, _ in started] == claimable
        for job_id, score in started:
            assert score == self.model.claimed_by_arq(job_id)
            if self.model.records[job_id].payload is None:
                self.model.finished_by_arq(job_id, "job expired")

    def arq_worker_finishes(self, index: int, how: str) -> None:
        """Finish a job of arq's worker, even if its in-progress key has expired."""
        if not self.arq_worker.running:
            return
        job_id = sorted(self.arq_worker.running)[index % len(self.arq_worker.running)]
        score, text = self.arq_worker.running[job_id][0], f"s{next(self.environment.serial)}"
        before, was_at = self.environment.now(), self.model.records[job_id].at or 0
        match how:
            case "returns":
                self.environment.run(self.arq_worker.end(job_id, text))
            case "raises":
                self.environment.run(self.arq_worker.end(job_id, RuntimeError(text)))
            case "retries":
                self.environment.run(self.arq_worker.end(job_id, Retry()))
            case "retries later":
                self.environment.run(self.arq_worker.end(job_id, Retry(LONG)))
            case "is canceled":
                self.environment.run(self.arq_worker.end(job_id, None))
        if how in ("returns", "raises"):
            self.model.finished_by_arq(job_id, text)
        elif how == "retries later":
            at = self.score(job_id)
            expected = was_at + HOUR_MS + (before - score)
            assert expected <= at <= expected + 5000
            self.model.requeued_by_arq(job_id, at)
        else:
            self.model.requeued_by_arq(job_id, None)

    # --- invariants

    @invariant()
    def redis_matches_the_model(self) -> None:
        assert self._read_records() == self.model.records
        assert self._read_counts() == self.model.counts

    def _read_records(self) -> dict[str, Record]:
        records = read_records(self.redis, self.model)
        for record in records.values():
            if record.dead_letter is not None:
                record.dead_letter = DeadLetter.model_validate_json(record.dead_letter).payload
        return records

    def _read_counts(self) -> Counter[tuple[str, str]]:
        totals: Counter[tuple[str, str]] = Counter()
        for queue in (ONE, TWO):
            for field, number in self.redis.hgetall(keys.counters(queue)).items():
                if not field.startswith(b"took:"):
                    totals[queue, field.decode()] = int(number)
        return totals

    def teardown(self) -> None:
        if self._read_records() == self.model.records:  # otherwise report that failure
            self._finish_everything()
        self.environment.run(self.arq_worker.stop())
        for worker in self.ours:
            worker.stop_listening()

    def _finish_everything(self) -> None:
        """All workers die. A new worker then runs exactly the promised jobs, each once."""
        promised = dict(self.model.promised)
        for job_id, record in self.model.records.items():
            self._expire_lease(job_id)
            if record.at is not None and record.at > 0:
                self.redis.zadd(IDS[job_id], {job_id: 1})
        survivor = OurWorker(self.environment.channels[0], [ONE, TWO])
        self.environment.run(survivor.claims.reclaim())
        claims = self.environment.run(survivor.claims.claim(100)).claims
        executed = {claim.job_id: claim.payload for claim in claims if claim.payload is not None}
        assert executed == promised
        completions = [(Completion.finish(claim, None, 0), OutcomeKind.DONE) for claim in claims]
        self.environment.run(survivor.finish(completions, lossy=False))
        assert self.environment.run(survivor.claims.claim(100)).claims == []
        leftover_keys = [
            key
            for key in self.redis.scan_iter()
            if not key.startswith((b"arq:result:", b"ringline:"))
        ]
        assert set(leftover_keys) <= {keys.ABORT.encode(), f"{ONE}:health-check".encode()}


@pytest.mark.parametrize("missing_command", [None, "msetex"])
def test_redis_matches_the_model_after_any_events(
    redis_url: str, missing_command: str | None
) -> None:
    """`missing_command` is a command that only the latest servers have."""
    with (
        url_without_command(missing_command, redis_url) as url,
        open_environment(url) as environment,
    ):
        machine = type("Machine", (QueueMachine,), {"environment": environment})
        run_state_machine_as_test(machine, settings=settings(stateful_step_count=100))
