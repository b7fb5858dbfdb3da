"""Any order of what producers, our workers and stock workers do to a queue leaves Redis as the
model says, and every job that was promised ends exactly once."""

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
from tests.model.actors import LONG, OurWorker, StockWorker, letter_of, read_records, result_of
from tests.model.events import IDS, ONE, TWO, events
from tests.model.ground import Ground, opened, user_without
from tests.model.queue_model import Ended, Held, QueueModel, Record

HOUR_MS = LONG * 1000


class QueueMachine(RuleBasedStateMachine):
    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.ground.redis
        self.redis.flushdb()
        self.model = QueueModel(IDS)
        self.letters = DeadLetterStore(self.ground.pool)
        served = ([ONE, TWO], [TWO, ONE], [ONE])
        self.ours = [
            OurWorker(channel, queues, self.redis.pubsub())
            for channel, queues in zip(self.ground.channels, served, strict=True)
        ]
        self.stock = StockWorker(self.ground.stock_pool, ONE)

    @rule(event=events)
    def happens(self, event: tuple[str, dict[str, Any]]) -> None:
        """One rule for all, since hypothesis leaves many of several rules out of an example, and
        it takes most of them to come far."""
        name, arguments = event
        getattr(self, name)(**arguments)

    def at(self, job_id: str) -> float:
        """Its place in the queue."""
        at: float | None = self.redis.zscore(IDS[job_id], job_id)
        assert at is not None
        return at

    def due(self, job_id: str) -> float:
        """When it is due, though it may be claimed already."""
        return abs(self.at(job_id))

    # --- producers

    def we_enqueue(self, chosen: set[str], deferred: bool) -> None:
        delay = LONG if deferred else None
        before = self.ground.now()
        numbers = {job_id: next(self.ground.serial) for job_id in sorted(chosen)}
        made = self.ground.run(
            self.ground.pool.enqueue_many(
                [
                    JobRequest("f", (number,), job_id=job_id, queue=IDS[job_id], defer_by=delay)
                    for job_id, number in numbers.items()
                ]
            )
        )
        for job_id, job in zip(numbers, made, strict=True):
            record = self.model.records[job_id]
            may = self.model.may_enqueue(job_id) and not record.running_without_payload
            assert (job is not None) == may
            if not may:
                continue
            handed = self._handed(job_id) if len(chosen) == 1 and not deferred else None
            self._enqueued(job_id, before + (delay or 0) * 1000, numbers[job_id])
            if handed is not None:
                self._taken(*handed)

    def _handed(self, job_id: str) -> tuple[OurWorker, Claim] | None:
        """The worker that has the job already, and its claim. One of those that wait has it, if any
        of them listens; who was asked in vain waits no longer."""
        queue = IDS[job_id]
        asked = self.model.waiting[queue]
        names = self.redis.zrangebyscore(keys.WAITING + queue, self.ground.now(), "inf")
        waiting = {name.decode() for name in names}
        self.model.waiting[queue], asked = waiting, asked - waiting
        listening = {one.claims.handoff_name: one for one in self.ours if one.listens}
        if self.at(job_id) > 0:
            if self.model.may_be_handed(job_id):
                assert not waiting
                assert not asked & listening.keys()
            return None
        assert self.model.may_be_handed(job_id)
        (taker,) = asked & listening.keys()
        worker = listening[taker]
        return worker, worker.handed()

    def _taken(self, worker: OurWorker, claim: Claim) -> None:
        record = self.model.records[claim.job_id]
        assert (claim.queue, claim.payload) == (IDS[claim.job_id], record.payload)
        assert claim.history == NO_HISTORY
        assert claim.claimed_at <= monotonic()
        held = self.model.claimed(claim.job_id, claim.token)
        assert float(claim.score) == held.due
        worker.hold(claim, held)

    def a_stock_producer_enqueues(self, job_id: str, deferred: bool) -> None:
        if self.model.records[job_id].running_without_payload:
            return  # the end of the one that runs takes the new one along, as in arq
        delay = LONG if deferred else None
        before, number = self.ground.now(), next(self.ground.serial)
        job = self.ground.run(
            self.ground.stock_pool.enqueue_job(
                "f", number, _job_id=job_id, _queue_name=IDS[job_id], _defer_by=delay
            )
        )
        assert (job is not None) == self.model.may_enqueue(job_id)
        if job is not None:
            self._enqueued(job_id, before + (delay or 0) * 1000, number)
        while not deferred and job is not None and self.ground.now() < self.at(job_id):
            pass  # arq rounds the time, so that the job may be due half a millisecond later

    def _enqueued(self, job_id: str, earliest: float, number: int) -> None:
        at, payload = self.due(job_id), self.redis.get(keys.JOB + job_id)
        assert earliest <= at <= earliest + 5000
        assert payload is not None
        assert deserialize(payload)["a"] == [number]
        self.model.enqueued(job_id, at, payload)

    def a_deadline_passes(self, job_id: str) -> None:
        self.redis.delete(keys.JOB + job_id)
        self.model.expired(job_id)

    def somebody_aborts(self, job_id: str) -> None:
        job = Job(job_id, self.ground.stock_pool, IDS[job_id], deserialize)
        now = self.ground.now()
        with suppress(TimeoutError, RuntimeError, JobExecutionFailed):
            self.ground.run(job.abort(timeout=0, poll_delay=0))
        mark = self.redis.zscore(keys.ABORT, job_id)
        assert mark is not None
        self.model.abort_asked(job_id, mark, now)

    def an_abort_comes_late(self, job_id: str) -> None:
        """It had read that the job is deferred; by now the job runs, or has ended."""
        self.redis.zadd(IDS[job_id], {job_id: 1})
        self.model.records[job_id].at = 1

    def a_letter_is_retried(self, which: int) -> None:
        dead = [job_id for job_id, one in self.model.records.items() if one.letter is not None]
        job_id = (dead or list(IDS))[which % len(dead or IDS)]
        record = self.model.records[job_id]
        before = self.ground.now()
        revived = self.ground.run(self.letters.retry(job_id))
        free = record.payload is None and not record.running_without_payload
        assert revived == (record.letter is not None and free)
        if revived:
            at = self.at(job_id)
            assert before <= at <= before + 5000
            self.model.revived(job_id, at)

    def a_letter_is_discarded(self, job_id: str) -> None:
        record = self.model.records[job_id]
        assert self.ground.run(self.letters.discard(job_id)) == (record.letter is not None)
        record.letter = None

    # --- time

    def an_hour_passes(self) -> None:
        """What was deferred is due, and results are forgotten: they block their ids no more."""
        now = self.ground.now()
        for queue in (ONE, TWO):
            self.we_wait_too_long(queue)
        for job_id, record in self.model.records.items():
            if record.at is not None and record.at > now:
                record.at -= 2 * HOUR_MS
                self.redis.zadd(IDS[job_id], {job_id: record.at})
            self.redis.delete(keys.RESULT + job_id)
            record.result = None

    def a_lease_lapses(self, which: int) -> None:
        """Its holder has crashed, or is frozen and will be late."""
        held = [job_id for job_id, one in self.model.records.items() if one.owner is not None]
        if held:
            self._lapses(held[which % len(held)])

    def _lapses(self, job_id: str) -> None:
        self.redis.delete(keys.IN_PROGRESS + job_id)
        self.model.records[job_id].owner = None

    # --- our workers

    def we_claim(
        self, who: int, limit: int, with_aborts: bool, heard: int, waits: bool | None
    ) -> None:
        """heard: 0 where the answer is lost: the worker's next claim takes back what it brought."""
        worker = self.ours[who]
        takes_back, worker.in_doubt = worker.in_doubt, not heard
        if takes_back:
            self.model.taken_back(worker.unheard)
        now = self.ground.now()
        undecided = self.model.undecided(worker.queues) if with_aborts else set()
        claimable = {
            queue: [one for one in self.model.claimable(queue, now) if one not in undecided]
            for queue in worker.queues
        }
        worker.channel.loses_next = not heard
        try:
            claimed = self.ground.run(
                worker.claims.claim(limit, with_aborts=with_aborts, accept_handoff=waits)
            )
        except RedisConnectionError:
            if not takes_back:  # else it did not come to the claim
                self._claimed_unheard(worker, chain(*claimable.values()), waits)
            return
        finally:
            self._postponed(undecided, now)
        worker.unheard.clear()
        if waits is not None:
            waits = waits and not claimed.claims
            self.model.waits(worker.claims.handoff_name, worker.queues, waits=waits)
        got = Counter(claim.queue for claim in claimed.claims)
        everything = sum(len(queued) for queued in claimable.values())
        assert len(claimed.claims) == min(limit, everything)
        for queue, queued in claimable.items():
            mine = [claim.job_id for claim in claimed.claims if claim.queue == queue]
            assert sorted(mine) == sorted(queued[: got[queue]]), "the oldest come first"
        for claim in claimed.claims:
            record = self.model.records[claim.job_id]
            assert claim.payload == record.payload
            past = claim.history
            assert (past.tries, past.expired_leases) == (record.tries, record.expired_leases)
            assert past.requeues == record.put_back
            assert past.abort_ms == (record.abort if with_aborts else None)
            held = self.model.claimed(claim.job_id, claim.token)
            assert float(claim.score) == held.due
            worker.hold(claim, held)
        assert (claimed.remaining is None) == (len(claimed.claims) == limit)
        if claimed.remaining is not None:
            later = [
                one.at
                for job_id, one in self.model.records.items()
                if IDS[job_id] in worker.queues and one.at is not None and one.at > now
            ]
            assert (claimed.next_due_in is not None) == bool(later)

    def _postponed(self, undecided: Iterable[str], now: float) -> None:
        """What the claim has come across waits for its mark of abortion, or that none comes."""
        for job_id in undecided:
            at = self.at(job_id)
            if at != 1:
                assert now + 200 <= at <= now + 5000
                at += HOUR_MS  # time passes when the test says
                self.redis.zadd(IDS[job_id], {job_id: at})
                self.model.records[job_id].at = at

    def _claimed_unheard(
        self, worker: OurWorker, claimable: Iterable[str], waits: bool | None
    ) -> None:
        owners = {job_id: self.redis.get(keys.IN_PROGRESS + job_id) for job_id in claimable}
        claimed = {job_id: owner.decode() for job_id, owner in owners.items() if owner}
        for job_id, token in claimed.items():
            self.model.claimed(job_id, token)
        worker.unheard.update(claimed.values())
        if waits is not None:
            self.model.waits(worker.claims.handoff_name, worker.queues, waits=waits and not claimed)

    def we_wait_too_long(self, queue: str) -> None:
        """For those who wait for a job of this queue the time is over."""
        names = self.redis.zrange(keys.WAITING + queue, 0, -1)
        if names:
            self.redis.zadd(keys.WAITING + queue, dict.fromkeys(names, self.ground.now() - 1))
        self.model.waiting[queue].clear()

    def we_hear_nothing(self, who: int) -> None:
        self.ours[who].hear_nothing()

    def we_finish(self, who: int, first: int, how: list[str], heard: int) -> None:
        holders = [one for one in self.ours if one.held]
        if not holders:
            return
        worker = holders[who % len(holders)]
        given_up = dict(zip(worker.held[first % len(worker.held) :], how, strict=False))
        worker.held = [one for one in worker.held if one not in given_up]
        before = self.ground.now()
        batch, wanted = [], []
        for (claim, held), kind in given_up.items():
            finish, ending, ended = self._ending(claim, held, kind, before)
            batch.append((finish, ending))
            wanted.append((held, ended))
        taken = self.ground.run(worker.finish(batch, lossy=not heard))
        for held, ended in wanted:
            accepted = self.model.accepts(held, again=ended.again)
            if heard:
                assert (held.job_id in taken) == accepted
            if not accepted:
                continue
            if ended.at is not None:
                at = self.at(held.job_id)
                assert ended.at <= at <= ended.at + 5000
                lives = self.redis.pttl(keys.JOB + held.job_id)
                assert lives < 0 or lives > HOUR_MS
                ended = Ended(ended.ending, True, at, ended.tries, ended.unknown)
            self.model.ended(held, ended)

    def _ending(
        self, claim: Any, held: Held, kind: str, now: float
    ) -> tuple[Completion, OutcomeKind, Ended]:
        later, used = now + HOUR_MS, claim.history.tries + 1
        match kind:
            case "retry":
                return (
                    Completion.requeue(claim, tries=used),
                    OutcomeKind.RETRIED,
                    Ended("retried", True, tries=used),
                )
            case "retry later":
                finish = Completion.requeue(claim, delay_ms=HOUR_MS, tries=used)
                return finish, OutcomeKind.RETRIED, Ended("retried", True, later, used)
            case "release":
                return Completion.requeue(claim), OutcomeKind.RELEASED, Ended("released", True)
            case "unknown":
                finish = Completion.requeue(claim, delay_ms=HOUR_MS, unknown_function=True)
                return finish, OutcomeKind.RELEASED, Ended("released", True, later, unknown=True)
            case "dead" if claim.payload is not None:
                letter = letter_of(claim.job_id, claim.queue, claim.payload)
                text = f"r{next(self.ground.serial)}"
                finish = Completion.finish(
                    claim, result_of(text, held.queue), HOUR_MS, dead_letter=letter.encode()
                )
                return finish, OutcomeKind.DEAD, Ended("dead", result=text, letter=claim.payload)
            case "unkept":
                return Completion.finish(claim, None, 0), OutcomeKind.DONE, Ended("done")
        number = next(self.ground.serial)
        text, keep_ms = f"r{number}", HOUR_MS * (number % 2)
        finish = Completion.finish(claim, result_of(text, held.queue), keep_ms)
        return finish, OutcomeKind.DONE, Ended("done", result=text)

    def we_renew(self, who: int, how_many: int) -> None:
        holders = [one for one in self.ours if one.held]
        if not holders:
            return
        worker = holders[who % len(holders)]
        renewed = worker.held[:how_many]
        lost = self.ground.run(worker.claims.renew([claim for claim, _ in renewed]))
        for claim, held in renewed:
            ours = self.model.renewed(held)
            assert (claim not in lost) == ours
            if ours:
                assert 0 < self.redis.pttl(keys.IN_PROGRESS + held.job_id) <= 60_000
            else:
                worker.held.remove((claim, held))

    def we_reap(self, who: int, too_late: bool) -> None:
        worker = self.ours[who]
        until_ms = round(self.ground.now()) + (-1 if too_late else HOUR_MS)
        back = self.ground.run(worker.claims.reclaim(until_ms)).job_ids
        assert sorted(back) == ([] if too_late else sorted(self.model.reaped(worker.queues)))

    # --- stock workers

    def a_stock_worker_polls(self, limit: int) -> None:
        wanted = self.model.stock_reads(ONE, self.ground.now(), limit)
        if set(wanted) & self.stock.running.keys():
            return  # one that runs an id twice stumbles over its own list
        started = self.ground.run(self.stock.poll(limit))
        assert [job_id for job_id, _ in started] == wanted
        for job_id, score in started:
            assert score == self.model.stock_claimed(job_id)
            if self.model.records[job_id].payload is None:
                self.model.stock_ended(job_id, "job expired")

    def a_stock_worker_ends(self, which: int, how: str) -> None:
        """Even where its claim has long lapsed: it does not ask."""
        if not self.stock.running:
            return
        job_id = sorted(self.stock.running)[which % len(self.stock.running)]
        score, text = self.stock.running[job_id][0], f"s{next(self.ground.serial)}"
        before, was_at = self.ground.now(), self.model.records[job_id].at or 0
        match how:
            case "returns":
                self.ground.run(self.stock.end(job_id, text))
            case "raises":
                self.ground.run(self.stock.end(job_id, RuntimeError(text)))
            case "retries":
                self.ground.run(self.stock.end(job_id, Retry()))
            case "retries later":
                self.ground.run(self.stock.end(job_id, Retry(LONG)))
            case "is cancelled":
                self.ground.run(self.stock.end(job_id, None))
        if how in ("returns", "raises"):
            self.model.stock_ended(job_id, text)
        elif how == "retries later":
            at = self.at(job_id)
            expected = was_at + HOUR_MS + (before - score)
            assert expected <= at <= expected + 5000
            self.model.stock_retries(job_id, at)
        else:
            self.model.stock_retries(job_id, None)

    # --- what holds at any time

    @invariant()
    def redis_is_as_the_model_says(self) -> None:
        assert self._found() == self.model.records
        assert self._counted() == self.model.counts

    def _found(self) -> dict[str, Record]:
        found = read_records(self.redis, self.model)
        for record in found.values():
            if record.letter is not None:
                record.letter = DeadLetter.model_validate_json(record.letter).payload
        return found

    def _counted(self) -> Counter[tuple[str, str]]:
        totals: Counter[tuple[str, str]] = Counter()
        for queue in (ONE, TWO):
            for field, number in self.redis.hgetall(keys.counters(queue)).items():
                if not field.startswith(b"took:"):
                    totals[queue, field.decode()] = int(number)
        return totals

    def teardown(self) -> None:
        if self._found() == self.model.records:  # else that is the failure to be told
            self._everything_ends()
        self.ground.run(self.stock.stop())
        for worker in self.ours:
            worker.hear_nothing()

    def _everything_ends(self) -> None:
        """All workers die. A new one then runs what was promised, all of it, and each job once."""
        owed = dict(self.model.owed)
        for job_id, record in self.model.records.items():
            self._lapses(job_id)
            if record.at is not None and record.at > 0:
                self.redis.zadd(IDS[job_id], {job_id: 1})
        heir = OurWorker(self.ground.channels[0], [ONE, TWO])
        self.ground.run(heir.claims.reclaim())
        claims = self.ground.run(heir.claims.claim(100)).claims
        ran = {claim.job_id: claim.payload for claim in claims if claim.payload is not None}
        assert ran == owed
        done = [(Completion.finish(claim, None, 0), OutcomeKind.DONE) for claim in claims]
        self.ground.run(heir.finish(done, lossy=False))
        assert self.ground.run(heir.claims.claim(100)).claims == []
        left = [
            key
            for key in self.redis.scan_iter()
            if not key.startswith((b"arq:result:", b"ringline:"))
        ]
        assert set(left) <= {keys.ABORT.encode(), f"{ONE}:health-check".encode()}


@pytest.mark.parametrize("lacking", [None, "msetex"])
def test_whatever_happens_redis_is_as_the_model_says(redis_url: str, lacking: str | None) -> None:
    """lacking: a command that only the latest servers have."""
    with user_without(lacking, redis_url) as url, opened(url) as ground:
        machine = type("Machine", (QueueMachine,), {"ground": ground})
        run_state_machine_as_test(machine, settings=settings(stateful_step_count=100))
