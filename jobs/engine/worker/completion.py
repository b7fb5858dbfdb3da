"""What the end of a try comes down to: how the claim is given up, and the outcome told of it."""

import asyncio
import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time
from typing import Any, Protocol

from arq.jobs import SerializationError, Serializer, serialize_result
from arq.utils import args_to_string, truncate
from arq.worker import JobExecutionFailed, Retry, RetryJob

from jobs.engine.definition.job import JobDefinition, definition_of
from jobs.engine.monitoring.counters import counted
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.engine.queue.claim import Completion
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.worker.execution import CancelReason, Execution
from jobs.privacy.error_text import error_message, mask_traceback
from jobs.privacy.fields import NamedValues, named_arguments

logger = logging.getLogger("arq.worker")


class Tally(Protocol):
    """arq's three counts of a worker."""

    jobs_complete: int
    jobs_failed: int
    jobs_retried: int


@dataclass(slots=True)
class CompletionEncoder:
    """Turns ended tries into finishes, with arq's log lines where `chatty`.

    unread_keep_ms: how long the failed result of a job is kept whose function is not known.
    counts, tells: finishes say where they are counted, and have an outcome to be shown to others.
    """

    tally: Tally
    serializer: Serializer | None
    expires_extra_ms: int
    retry_jobs: bool
    unread_keep_ms: int | None
    log_results: bool
    counts: bool
    tells: bool
    chatty: bool
    dead_letters: bool

    def log_start(self, one: Execution) -> None:
        """arq's line."""
        if logger.isEnabledFor(logging.INFO):
            delayed = one.started - one.claim.due_ms / 1000
            extra = f" try={one.number}" if one.number > 1 else ""
            if delayed > 1.2:
                extra += f" delayed={delayed:0.2f}s"
            waited = one.started - one.enqueued_ms / 1000
            arguments = args_to_string(one.args, one.kwargs)
            logger.info("%6.2fs → %s(%s)%s", waited, one.ref, arguments, extra)

    def returned(self, one: Execution, value: Any) -> Completion:
        ended = time()
        try:
            finish = self._end(one, value, ended, success=True)
        except SerializationError as error:
            return self.failed(one, error, ended - one.started)
        self.tally.jobs_complete += 1
        if self.chatty and logger.isEnabledFor(logging.INFO):
            text = _shown(value) if self.log_results and value is not None else ""
            logger.info("%6.2fs ← %s ● %s", ended - one.started, one.ref, text)
        return self._told(finish, one, OutcomeKind.DONE, ended)

    def raised(self, one: Execution, error: BaseException) -> Completion:
        """The end of a try whose coroutine raised `error`."""
        took = time() - one.started
        if isinstance(error, asyncio.CancelledError):
            if one.stop is CancelReason.TIMEOUT:
                return self.failed(one, TimeoutError(), took)
            if one.stop is CancelReason.ABORT:
                logger.info("%6.2fs ⊘ %s aborted", took, one.ref)
                return self.aborted(one)
        if self.retry_jobs:
            if isinstance(error, Retry):
                return self._retried(one, error, took)
            if isinstance(error, asyncio.CancelledError | RetryJob):
                return self._cancelled(one, error, took)
        elif isinstance(error, Retry) and _definition(one):
            error = error.__cause__ or error  # that for which `@retry` would have it run again
        return self.failed(one, error, took)

    def failed(self, one: Execution, error: BaseException, took: float) -> Completion:
        if self.chatty:
            logger.error(
                "%6.2fs ! %s failed, %s: %s",
                took, one.ref, type(error).__name__, error_message(error),
                exc_info=error,
                extra={"extra": _extra(error)},
            )  # fmt: skip
        return self.over(one, error)

    def over(self, one: Execution, error: BaseException) -> Completion:
        """The job has failed for good; what is logged of it is the caller's."""
        ended = time()
        letter = self._letter(one, error)
        encoded = letter.encode() if letter else b""
        finish = self._end(one, error, ended, success=False, letter=encoded)
        self.tally.jobs_failed += 1
        ending = OutcomeKind.DEAD if letter else OutcomeKind.DISCARDED
        fingerprint = letter.fingerprint if letter else None
        return self._told(finish, one, ending, ended, error, fingerprint=fingerprint)

    def untold(self, one: Execution, flaw: Exception) -> Completion:
        """The end of a job whose own end cannot be made, because of `flaw`: run again, it would
        come to the same, and have its effects each time."""
        told = mask_traceback(flaw, _arguments(one))
        logger.error("how %s ended cannot be told: %s", one.ref, told)
        why = f"its end cannot be told: {type(flaw).__name__}"
        return self.over(one, JobExecutionFailed(why))

    def aborted(self, one: Execution) -> Completion:
        self.tally.jobs_failed += 1
        ended = time()
        finish = self._end(one, asyncio.CancelledError(), ended, success=False)
        return self._told(finish, one, OutcomeKind.ABORTED, ended)

    def released(self, one: Execution) -> Completion:
        """Put back as it was, at no cost."""
        return self._told(Completion.again(one.claim), one, OutcomeKind.RELEASED, time())

    def put_back(self, one: Execution, delay: timedelta) -> Completion:
        """Nobody here knows its function; a newer worker may."""
        delay_ms = round(delay.total_seconds() * 1000)
        finish = Completion.again(
            one.claim, delay_ms=delay_ms, kept_ms=self.expires_extra_ms, unknown=True
        )
        return self._told(finish, one, OutcomeKind.RELEASED, time())

    def _retried(self, one: Execution, asked: Retry, took: float) -> Completion:
        self.tally.jobs_retried += 1
        delay_ms = asked.defer_score or None
        if self.chatty:
            wait = (delay_ms or 0) / 1000
            logger.info("%6.2fs ↻ %s retrying job in %0.2fs", took, one.ref, wait)
        finish = Completion.again(
            one.claim, delay_ms=delay_ms, tries=one.number, kept_ms=self.expires_extra_ms
        )
        wait_for = timedelta(milliseconds=delay_ms or 0)
        cause = asked.__cause__ or asked
        return self._told(finish, one, OutcomeKind.RETRIED, time(), cause, retry_in=wait_for)

    def _cancelled(self, one: Execution, error: BaseException, took: float) -> Completion:
        self.tally.jobs_retried += 1
        if self.chatty:
            logger.info("%6.2fs ↻ %s cancelled, will be run again", took, one.ref)
        if one.stop is CancelReason.SHUTDOWN:
            return self.released(one)
        finish = Completion.again(one.claim, tries=one.number, kept_ms=self.expires_extra_ms)
        return self._told(finish, one, OutcomeKind.RETRIED, time(), error, retry_in=timedelta())

    def _end(
        self, one: Execution, result: Any, ended: float, *, success: bool, letter: bytes = b""
    ) -> Completion:
        plan = one.plan
        keep_ms = self.unread_keep_ms if plan is None else plan.keep_ms
        data = None
        if keep_ms is not None:
            data = self._written(one, result, ended, success=success)
        return Completion.end(
            one.claim,
            data,
            keep_ms or 0,
            fired_slot=plan is not None and plan.fires_slots and _names_a_slot(one),
            letter=letter,
        )

    def _written(self, one: Execution, result: Any, ended: float, *, success: bool) -> bytes | None:
        """The result as arq keeps it. Raises SerializationError for one that has no form, where
        dead letters tell of it; else arq has a word in its place."""
        started_ms, ended_ms = round(one.started * 1000), round(ended * 1000)
        queue, job_id = one.claim.queue, one.claim.job_id
        data = {
            "t": one.number, "f": one.name, "a": one.args, "k": one.kwargs, "et": one.enqueued_ms,
            "s": success, "r": result, "st": started_ms, "ft": ended_ms, "q": queue, "id": job_id,
        }  # fmt: skip
        try:
            written: Any = self.serializer(data) if self.serializer else pickle.dumps(data)
            return written.encode() if isinstance(written, str) else written
        except Exception as error:
            if success and self.dead_letters:
                reason = masked_error(error, _arguments(one))
                raise SerializationError(f"its result cannot be serialized: {reason}") from error
        return serialize_result(
            one.name, one.args, one.kwargs, one.number, one.enqueued_ms, success, result,
            started_ms, ended_ms, one.ref, queue, job_id, serializer=self.serializer,
        )  # fmt: skip

    def _letter(self, one: Execution, error: BaseException) -> DeadLetter | None:
        """What is kept of the job; None where there is nothing to run again, or nobody wants it.
        A schedule's slot is not kept: the next one comes."""
        payload, plan = one.claim.payload, one.plan
        if not self.dead_letters or payload is None or (plan is not None and plan.is_cron):
            return None
        job = _definition(one)
        if job is not None and not job.dead_letter:
            return None
        return DeadLetter.of(
            error,
            job_id=one.claim.job_id,
            function=one.name,
            queue=one.claim.queue,
            payload=payload,
            tries=one.number,
            enqueued_at=moment(one.enqueued_ms),
            failed_at=datetime.now(UTC),
            parameters=_parameters(one),
        )

    def _told(
        self,
        finish: Completion,
        one: Execution,
        ending: OutcomeKind,
        ended: float,
        error: BaseException | None = None,
        retry_in: timedelta | None = None,
        fingerprint: str | None = None,
    ) -> Completion:
        """What is counted of the try and shown to others once Redis has taken `finish`."""
        if self.counts:
            finish.counted = counted(one.claim.queue, ending, ended - one.started)
        if self.tells:
            finish.outcome = Outcome(
                one.claim.job_id,
                one.name,
                one.claim.queue,
                ending,
                one.number,
                one.enqueued_ms / 1000,
                one.started,
                ended,
                None if error is None else masked_error(error, _arguments(one)),
                retry_in,
                fingerprint,
            )
        return finish


def _names_a_slot(one: Execution) -> bool:
    """Else somebody has enqueued a cron's function by hand, and may do so again."""
    return one.claim.job_id.removeprefix(f"{one.name}:").isdecimal()


def _definition(one: Execution) -> JobDefinition | None:
    return None if one.plan is None else definition_of(one.plan.coroutine)


def _parameters(one: Execution) -> Sequence[str]:
    job = _definition(one)
    return () if job is None else job.parameters


def _arguments(one: Execution) -> NamedValues:
    return named_arguments(one.args, one.kwargs, _parameters(one))


@lru_cache(maxsize=256)
def moment(ms: int) -> datetime:
    """POSIX milliseconds, of which jobs that were enqueued together have the same."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _shown(value: Any) -> str:
    try:
        return truncate(repr(value))
    except Exception as error:  # noqa: BLE001 - any class may have a broken repr
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def _extra(error: BaseException) -> Any:
    """arq's `extra` of an exception: a value, or a function that makes one."""
    try:
        extra = getattr(error, "extra", None)
        return extra() if callable(extra) else extra
    except Exception as broken:  # noqa: BLE001 - it only decorates a log line
        return f"{type(broken).__name__}: {error_message(broken)}"
