"""The tries of one worker: started from claims, run, and finished."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from datetime import timedelta
from time import monotonic, time
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from arq.constants import abort_job_max_age
from arq.jobs import DeserializationError, SerializationError, deserialize_job_raw
from arq.worker import JobExecutionFailed

from jobs.engine.definition.attempt import FUNCTION_KEY
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.engine.queue import keys
from jobs.engine.queue.claim import MAX_EXPIRED_LEASES, NO_HISTORY, Claim, Completion
from jobs.engine.queue.serializer import deserialization_error_in
from jobs.engine.worker.completer import Completer
from jobs.engine.worker.completion import CompletionEncoder, moment
from jobs.engine.worker.deadlines import Deadlines
from jobs.engine.worker.eager_tasks import EagerTasks
from jobs.engine.worker.execution import CancelReason, Execution
from jobs.engine.worker.function_options import FunctionOptions
from jobs.engine.worker.periodic import qualified_name
from jobs.errors import WorkerLost

if TYPE_CHECKING:
    from jobs.engine.worker.worker import Worker

logger = logging.getLogger("arq.worker")

Hook = Callable[[dict[Any, Any]], Awaitable[Any]]

CLOSING_PATIENCE: Final = 5.0
"""Seconds that Redis has, when the worker stops, for what is still to be written."""
UNKNOWN_DELAY: Final = timedelta(seconds=10)
"""Until a job whose function nobody here knows is looked at again."""
UNKNOWN_ALLOWED: Final = 30
"""How often that is done: a rolling deploy has five minutes."""
SUSPECT_DELAY_MS: Final = 250
"""Between two looks at jobs that may be what kills their workers."""

_ENDS_THE_PROCESS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)
_SEQUENCE: Final = (list, tuple)
_TRY_NUMBER: Final = (int, NoneType)
_LAST_MS: Final = 2**45
"""No job was enqueued as late as that: in the year 3084."""


class Executor:
    """Runs what `worker` has claimed, by its functions and hooks; `worker.tasks` are the tasks.

    freed is called when a try has ended and its slot is free.
    """

    def __init__(
        self,
        worker: "Worker",
        finisher: Completer,
        endings: CompletionEncoder,
        *,
        freed: Callable[[], None],
    ) -> None:
        self.hooks_failed = 0
        self._worker = worker
        self._finisher = finisher
        self._endings = endings
        self._freed = freed
        self._running: dict[str, Execution] = {}
        self._plans: dict[str, FunctionOptions] = {}
        # Not in the context of a job whose end makes room for another.
        self._tasks = EagerTasks(worker.loop, copy_context())
        self._deadlines = Deadlines(worker.loop, self._running.values)

    def start_all(self, claims: Sequence[Claim]) -> None:
        for claim in self._apart(claims):
            one = Execution(claim, time())
            try:
                self._start(one)
            except Exception as flaw:  # noqa: BLE001 - whatever it is, it ends this job only
                self._finisher.add(self._endings.untold(one, flaw))

    def _apart(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Without those that may be what kills the workers, unless it is one, and none runs: else
        others that are held would share the last lapse of the culprit. They come one by one."""
        suspects = [claim for claim in claims if claim.may_be_poison]
        if not suspects:
            return claims
        runs = any(one.claim.may_be_poison for one in self._running.values())
        if len(suspects) == 1 and not runs:
            return claims
        for number, claim in enumerate(suspects, start=runs):
            self._finisher.add(Completion.requeue(claim, delay_ms=number * SUSPECT_DELAY_MS))
        return [claim for claim in claims if not claim.may_be_poison]

    def _start(self, one: Execution) -> None:
        claim = one.claim
        if claim.payload is None:
            logger.warning("job %s expired", claim.job_id)
            return self._finisher.add(self._endings.over(one, JobExecutionFailed("job expired")))
        try:
            found: tuple[Any, ...] = deserialize_job_raw(
                claim.payload, deserializer=self._worker.job_deserializer
            )
            name, args, kwargs, first_try, enqueued_ms = found
            # Whatever else went on would fail at its end, and be put back, time and again.
            if not (
                isinstance(name, str)
                and isinstance(kwargs, dict)
                and isinstance(args, _SEQUENCE)
                and isinstance(first_try, _TRY_NUMBER)
                and isinstance(enqueued_ms, int)
                and 0 <= enqueued_ms < _LAST_MS
            ):
                raise DeserializationError("not a job's payload")
            one.name, one.args, one.kwargs, one.enqueued_ms = name, tuple(args), kwargs, enqueued_ms
            one.number = max(one.number, first_try or 0)
            one.plan = self._plan(one.name)
        except (SerializationError, TypeError, ValueError) as error:
            flaw = deserialization_error_in(error) or error
            reason = masked_error(flaw.__cause__ or flaw)
            logger.error("deserializing job %s failed: %s", claim.job_id, reason)
            return self._finisher.add(self._endings.over(one, flaw))
        plan = one.plan
        if claim.history is not NO_HISTORY or plan is None or one.number > plan.max_tries:
            ended = self._over_before_start(one)
            if ended is not None:
                return self._finisher.add(ended)
        return self._launch(one)

    def _over_before_start(self, one: Execution) -> Completion | None:
        """The end of a job that must not run, or cannot."""
        past, plan = one.claim.history, one.plan
        waited = time() - one.enqueued_ms / 1000
        if past.abort_ms is not None and past.abort_ms >= one.enqueued_ms:
            logger.info("%6.2fs ⊘ %s aborted before start", waited, one.ref)
            return self._endings.aborted(one)
        if past.expired_leases >= MAX_EXPIRED_LEASES:
            logger.error("%s is given up: its lease lapsed %d times", one.ref, past.expired_leases)
            lost = WorkerLost(
                f"the worker fell silent {past.expired_leases} times while it ran this job"
            )
            return self._endings.over(one, lost)
        if plan is None:
            logger.warning("job %s, function %r not found", one.claim.job_id, one.name)
            if self._worker.put_back_unknown and past.requeues < UNKNOWN_ALLOWED:
                return self._endings.put_back(one, UNKNOWN_DELAY)
            missing = JobExecutionFailed(f"function {one.name!r} not found")
            return self._endings.over(one, missing)
        if one.number > plan.max_tries:
            tries = plan.max_tries
            logger.warning("%6.2fs ! %s max retries %d exceeded", waited, one.ref, tries)
            return self._endings.over(one, JobExecutionFailed(f"max {tries} retries exceeded"))
        return None

    def _plan(self, name: str) -> FunctionOptions | None:
        plan = self._plans.get(name)
        if plan is None and name in self._worker.functions:
            plan = self._plans[name] = FunctionOptions.of(
                self._worker.functions[name], self._worker
            )
        return plan

    def _launch(self, one: Execution) -> None:
        job_id = one.claim.job_id
        before = self._running.get(job_id)
        if before is not None:
            before.cancel(CancelReason.LOST)
        self._running[job_id] = one
        task = one.task = self._tasks.start(self._run(one), job_id)
        if not one.forgotten:
            self._worker.tasks[job_id] = task

    async def _run(self, one: Execution) -> None:
        ctx = self._context(one)
        worker = self._worker
        try:
            finish = await self._attempt(one, ctx)
            if worker.on_job_end:
                await self._hook(worker.on_job_end, ctx, job_is_over=True)
            if worker.after_job_end:
                await self._finish_and_tell(one, finish, worker.after_job_end, ctx)
            elif finish is not None:
                self._finisher.add(finish)
        except Exception as flaw:  # noqa: BLE001 - whatever it is, it ends this job only
            self._finisher.add(self._endings.untold(one, flaw))
        finally:
            self._forget(one)

    async def _finish_and_tell(
        self, one: Execution, finish: Completion | None, hook: Hook, ctx: dict[Any, Any]
    ) -> None:
        """Call the hook that wants the job's end to be in Redis."""
        if finish is not None:
            settled = finish.settled = self._worker.loop.create_future()
            self._finisher.add(finish)
            patience = CLOSING_PATIENCE if one.stop is CancelReason.SHUTDOWN else None
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(patience):
                    await settled
        await self._hook(hook, ctx, job_is_over=True)

    async def _attempt(self, one: Execution, ctx: dict[Any, Any]) -> Completion | None:
        """Run the job; None when it is someone else's by now."""
        plan = one.plan
        assert plan is not None  # noqa: S101 - a job without a function is never launched
        try:
            if self._worker.on_job_start:
                await self._hook(self._worker.on_job_start, ctx)
                one.started = time()
            if self._endings.chatty:
                self._endings.log_start(one)
            if plan.timeout is not None:
                self._deadlines.watch(one, plan.timeout)
                one.claim.deadline = monotonic() + plan.timeout
            value = await plan.coroutine(ctx, *one.args, **one.kwargs)
        except _ENDS_THE_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a job raises
            one.over = True
            return None if one.stop is CancelReason.LOST else self._endings.raised(one, error)
        one.over = True
        return self._endings.returned(one, value)

    def _context(self, one: Execution) -> dict[Any, Any]:
        return {
            **self._worker.ctx,
            "job_id": one.claim.job_id,
            "job_try": one.number,
            "enqueue_time": moment(one.enqueued_ms),
            "score": one.claim.due_ms,
            FUNCTION_KEY: None if one.plan is None else one.plan.coroutine,
        }

    async def _hook(self, hook: Hook, ctx: dict[Any, Any], *, job_is_over: bool = False) -> None:
        """Call a hook; its failure is its own, and ends neither the job nor the worker. A shutdown
        that cancels a hook does not undo the job that it follows."""
        try:
            await hook(ctx)
        except asyncio.CancelledError:
            if not job_is_over:
                raise
        except Exception:
            self.hooks_failed += 1
            logger.exception("%s failed for job %s", qualified_name(hook), ctx["job_id"])

    def _forget(self, one: Execution) -> None:
        job_id = one.claim.job_id
        one.forgotten = True
        if self._running.get(job_id) is one:
            del self._running[job_id]
            self._worker.tasks.pop(job_id, None)
        self._freed()

    def lost(self, claim: Claim) -> None:
        one = self._running.get(claim.job_id)
        if one is not None and one.claim is claim and not one.over:
            logger.warning("%s is someone else's by now: it is cancelled here", one.ref)
            one.cancel(CancelReason.LOST)

    async def cancel_aborted(self) -> None:
        """Cancel what `Job.abort()` was called for, unless that meant an earlier job of its id."""
        marks = await self._worker.pool.zrange(keys.ABORT, 0, -1, withscores=True)
        stale = []
        for mark, asked_ms in marks:
            one = self._running.get(mark.decode())
            if one is None:
                if asked_ms < (time() - abort_job_max_age) * 1000:
                    stale.append(mark)
            elif asked_ms >= one.enqueued_ms:
                one.cancel(CancelReason.ABORT)
        for mark in stale:
            if not await self._worker.pool.exists(keys.JOB + mark.decode()):
                await self._worker.pool.zrem(keys.ABORT, mark)

    def release_all(self) -> None:
        """What is cancelled from now on goes back as it was: stopping costs no try."""
        for one in self._running.values():
            if not one.over and one.stop is None:
                one.stop = CancelReason.SHUTDOWN

    def close(self) -> None:
        self._deadlines.close()
        self._tasks.close()
