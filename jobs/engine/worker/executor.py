"""The executor: runs claimed jobs, and hands each one's end to the completer.

Data runs one way: claim -> execution -> decision (`classify`) -> completion (`completion`) ->
`completer`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from time import monotonic, time
from types import NoneType
from typing import Any, Final

from arq.jobs import DeserializationError, SerializationError, deserialize_job_raw
from arq.worker import JobExecutionFailed

from jobs.engine.definition.attempt import FUNCTION_KEY
from jobs.engine.definition.failure import ends_the_process
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.engine.queue.claim import NO_HISTORY, Claim, Completion
from jobs.engine.queue.outcome import OutcomeKind
from jobs.engine.queue.serializer import deserialization_error_in
from jobs.engine.worker.classify import Decision, classify_claim, classify_error, failed
from jobs.engine.worker.completer import Completer
from jobs.engine.worker.completion import CompletionEncoder, utc_from_ms
from jobs.engine.worker.deadlines import Deadlines
from jobs.engine.worker.eager_tasks import EagerTasks
from jobs.engine.worker.execution import CancelReason, Execution
from jobs.engine.worker.job_log import JobLog
from jobs.engine.worker.options import ExecutorOptions, Hook
from jobs.engine.worker.periodic import qualified_name
from jobs.privacy.error_text import mask_traceback

logger = logging.getLogger("arq.worker")

CLOSING_TIMEOUT: Final = 5.0
"""Seconds that a stopping worker waits for Redis to take the last writes."""
SUSPECT_DELAY_MS: Final = 250
"""Delay between two executions of jobs that may kill their workers."""

_ARGUMENTS: Final = (list, tuple)
_JOB_TRY: Final = (int, NoneType)
_LAST_MS: Final = 2**45
"""The year 3084: no job was enqueued later."""


class Executor:
    """Runs the jobs of one worker.

    Args:
        options: Functions, hooks and defaults.
        tasks: The tasks of the jobs that run, by job id; kept up to date.
        completer: Receives the completions.
        encoder: Encodes them.
        log: Writes the log lines about jobs.

    Attributes:
        running: The executions that run, by job id.
        hooks_failed: Hooks that raised.
        on_slot_freed: Is called when an execution has ended and its slot is free.
    """

    def __init__(
        self,
        options: ExecutorOptions,
        tasks: dict[str, asyncio.Task[Any]],
        completer: Completer,
        encoder: CompletionEncoder,
        log: JobLog,
    ) -> None:
        self.hooks_failed = 0
        self.on_slot_freed: Callable[[], None] = _nothing
        self.running: dict[str, Execution] = {}
        self._options = options
        self._tasks = tasks
        self._completer = completer
        self._encoder = encoder
        self._log = log
        self._loop = asyncio.get_running_loop()
        # A job must not inherit the context of the job whose end made room for it.
        self._eager_tasks = EagerTasks(self._loop, copy_context())
        self._deadlines = Deadlines(self._loop, self.running.values)

    # --- start

    def start(self, claims: Sequence[Claim]) -> None:
        """Start the claimed jobs."""
        for claim in self._one_suspect_at_a_time(claims):
            execution = Execution(claim, time())
            try:
                decision = self._prepare(execution)
                if decision is None:
                    self._launch(execution)
                else:
                    self._completer.add(self._encode(execution, decision))
            except Exception as flaw:  # noqa: BLE001 - whatever it is, it ends this job only
                self._completer.add(self._encode_flaw(execution, flaw))

    def _one_suspect_at_a_time(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Requeue suspects, unless there is one only and no other runs.

        A suspect becomes a dead letter when its next lease expires. If several ran together, the
        innocent ones would share the fate of the one that kills the worker.
        """
        suspects = [claim for claim in claims if claim.may_be_poison]
        if not suspects:
            return claims
        running = any(execution.claim.may_be_poison for execution in self.running.values())
        if len(suspects) == 1 and not running:
            return claims
        for number, claim in enumerate(suspects, start=running):
            self._completer.add(Completion.requeue(claim, delay_ms=number * SUSPECT_DELAY_MS))
        return [claim for claim in claims if not claim.may_be_poison]

    def _prepare(self, execution: Execution) -> Decision | None:
        """Read the payload; return the job's end if it cannot or must not run."""
        claim = execution.claim
        if claim.payload is None:
            self._log.expired(claim)
            return failed(JobExecutionFailed("job expired"))
        try:
            found: tuple[Any, ...] = deserialize_job_raw(
                claim.payload, deserializer=self._options.deserializer
            )
            name, args, kwargs, job_try, enqueued_ms = found
            # Anything else would fail when its end is encoded, and be requeued again and again.
            if not (
                isinstance(name, str)
                and isinstance(kwargs, dict)
                and isinstance(args, _ARGUMENTS)
                and isinstance(job_try, _JOB_TRY)
                and isinstance(enqueued_ms, int)
                and 0 <= enqueued_ms < _LAST_MS
            ):
                raise DeserializationError("not a job's payload")
        except (SerializationError, TypeError, ValueError) as error:
            flaw = deserialization_error_in(error) or error
            self._log.unreadable(claim, masked_error(flaw.__cause__ or flaw))
            return failed(flaw)
        execution.name, execution.args, execution.kwargs = name, tuple(args), kwargs
        execution.enqueued_ms = enqueued_ms
        if job_try:
            execution.number = max(execution.number, job_try)
        options = execution.options = self._options.function(name)
        if claim.history is NO_HISTORY and options and execution.number <= options.max_tries:
            return None
        decision = classify_claim(
            claim.history,
            name=name,
            number=execution.number,
            enqueued_ms=enqueued_ms,
            max_tries=options.max_tries if options else None,
            requeue_unknown=self._options.requeue_unknown,
        )
        if decision is not None:
            self._log.not_started(execution, decision)
        return decision

    def _launch(self, execution: Execution) -> None:
        job_id = execution.claim.job_id
        earlier = self.running.get(job_id)
        if earlier is not None:
            earlier.cancel(CancelReason.LEASE_LOST)
        self.running[job_id] = execution
        task = execution.task = self._eager_tasks.start(self._run(execution), job_id)
        if not execution.forgotten:
            self._tasks[job_id] = task

    # --- run

    async def _run(self, execution: Execution) -> None:
        ctx = self._context(execution)
        try:
            completion = await self._execute(execution, ctx)
            options = self._options
            if options.on_job_end:
                await self._call_hook(options.on_job_end, ctx, job_has_ended=True)
            if options.after_job_end:
                await self._complete_then(options.after_job_end, execution, completion, ctx)
            elif completion is not None:
                self._completer.add(completion)
        except Exception as flaw:  # noqa: BLE001 - whatever it is, it ends this job only
            self._completer.add(self._encode_flaw(execution, flaw))
        finally:
            self._forget(execution)

    async def _execute(self, execution: Execution, ctx: dict[Any, Any]) -> Completion | None:
        """Run the coroutine; return None if the lease was lost meanwhile."""
        options = execution.options
        assert options is not None  # noqa: S101 - a job without a function is never launched
        try:
            if self._options.on_job_start:
                await self._call_hook(self._options.on_job_start, ctx)
                execution.started = time()
            if self._log.verbose:
                self._log.start(execution)
            if options.timeout is not None:
                self._deadlines.watch(execution, options.timeout)
                execution.claim.deadline = monotonic() + options.timeout
            value = await options.coroutine(ctx, *execution.args, **execution.kwargs)
        except BaseException as error:
            if ends_the_process(error) and not isinstance(error, asyncio.CancelledError):
                raise
            execution.ended = True
            # No local variable may hold the error: its traceback holds this frame, and such a
            # reference cycle would keep the frames of a failed job until the next collection.
            return self._conclude_error(execution, error)
        execution.ended = True
        return self._conclude(execution, Decision(OutcomeKind.DONE, value))

    def _conclude_error(self, execution: Execution, error: BaseException) -> Completion | None:
        if execution.cancel_reason is CancelReason.LEASE_LOST:
            return None
        decision = classify_error(
            error,
            execution.cancel_reason,
            retry_jobs=self._options.retry_jobs,
            has_definition=execution.definition is not None,
        )
        return self._conclude(execution, decision)

    def _conclude(self, execution: Execution, decision: Decision) -> Completion:
        """Encode and log the end of an execution."""
        ended = time()
        try:
            completion = self._encoder.encode(execution, decision, ended)
        except SerializationError as error:
            decision = failed(error)
            completion = self._encoder.encode(execution, decision, ended)
        self._log.end(execution, decision, ended - execution.started)
        return completion

    def _encode(self, execution: Execution, decision: Decision) -> Completion:
        return self._encoder.encode(execution, decision, time())

    def _encode_flaw(self, execution: Execution, flaw: Exception) -> Completion:
        """Discard a job whose end cannot be encoded: run again, it would fail again."""
        self._log.unencodable(execution, mask_traceback(flaw, execution.named_arguments))
        reason = f"its end cannot be encoded: {type(flaw).__name__}"
        return self._encode(execution, failed(JobExecutionFailed(reason)))

    async def _complete_then(
        self,
        hook: Hook,
        execution: Execution,
        completion: Completion | None,
        ctx: dict[Any, Any],
    ) -> None:
        """Call the hook that expects the job's end to be stored in Redis."""
        if completion is not None:
            settled = completion.settled = self._loop.create_future()
            self._completer.add(completion)
            stopping = execution.cancel_reason is CancelReason.SHUTDOWN
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(CLOSING_TIMEOUT if stopping else None):
                    await settled
        await self._call_hook(hook, ctx, job_has_ended=True)

    def _context(self, execution: Execution) -> dict[Any, Any]:
        return {
            **self._options.ctx,
            "job_id": execution.claim.job_id,
            "job_try": execution.number,
            "enqueue_time": utc_from_ms(execution.enqueued_ms),
            "score": execution.claim.due_ms,
            FUNCTION_KEY: None if execution.options is None else execution.options.coroutine,
        }

    async def _call_hook(
        self, hook: Hook, ctx: dict[Any, Any], *, job_has_ended: bool = False
    ) -> None:
        """Call a hook. Its failure ends neither the job nor the worker.

        A shutdown that cancels a hook after the job does not undo the job.
        """
        try:
            await hook(ctx)
        except asyncio.CancelledError:
            if not job_has_ended:
                raise
        except Exception:
            self.hooks_failed += 1
            logger.exception("%s failed for job %s", qualified_name(hook), ctx["job_id"])

    def _forget(self, execution: Execution) -> None:
        job_id = execution.claim.job_id
        execution.forgotten = True
        if self.running.get(job_id) is execution:
            del self.running[job_id]
            self._tasks.pop(job_id, None)
        self.on_slot_freed()

    # --- cancel

    def cancel_lost(self, claim: Claim) -> None:
        """Cancel the execution of a claim whose lease another worker holds."""
        execution = self.running.get(claim.job_id)
        if execution is not None and execution.claim is claim and not execution.ended:
            self._log.lease_lost(execution)
            execution.cancel(CancelReason.LEASE_LOST)

    def mark_shutdown(self) -> None:
        """Release what is canceled from now on: a shutdown uses no try."""
        for execution in self.running.values():
            if not execution.ended and execution.cancel_reason is None:
                execution.cancel_reason = CancelReason.SHUTDOWN

    def close(self) -> None:
        """Stop timers and spare tasks."""
        self._deadlines.close()
        self._eager_tasks.close()


def _nothing() -> None: ...
