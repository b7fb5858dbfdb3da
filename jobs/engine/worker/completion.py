"""Encoding: turn the decision about an execution into the completion that is sent to Redis."""

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from arq.jobs import SerializationError, Serializer, serialize_result

from jobs.engine.monitoring.counters import counter_update
from jobs.engine.monitoring.outcome_log import masked_error
from jobs.engine.queue.claim import Completion
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.engine.queue.serializer import is_pickle, serialize
from jobs.engine.worker.classify import Decision
from jobs.engine.worker.execution import Execution
from jobs.engine.worker.options import JobCounts


@dataclass(frozen=True, slots=True)
class CompletionEncoder:
    """Encodes decisions: result, dead letter, counters and outcome.

    Attributes:
        counts: The worker's counts of ended executions, which are updated.
        serializer: Writes results; None for pickle.
        like_payload: Write each result in the format of its job instead, so that the producer can
            read it while a queue moves from pickle to JSON.
        expires_extra_ms: Milliseconds for which a requeued job is kept after it is due.
        unknown_keep_ms: Milliseconds for which the failed result of an unknown function is kept;
            0 without expiry, None not at all.
        counters: Count outcomes and durations in Redis.
        observed: Attach an outcome for the worker's observers.
        dead_letters: Keep a dead letter of a job that failed for good.
    """

    counts: JobCounts
    serializer: Serializer | None
    like_payload: bool
    expires_extra_ms: int
    unknown_keep_ms: int | None
    counters: bool
    observed: bool
    dead_letters: bool

    def encode(self, execution: Execution, decision: Decision, ended: float) -> Completion:
        """Return the completion of `execution`.

        Args:
            execution: The execution, or a claimed job that is not run.
            decision: Its end.
            ended: The end's time in POSIX seconds.

        Raises:
            SerializationError: The result has no serialized form, and dead letters report that.
        """
        kind = decision.kind
        dead_letter: DeadLetter | None = None
        if kind is OutcomeKind.DONE:  # first, for speed
            completion = self._finish(execution, decision, ended)
            self.counts.complete += 1
        elif kind is OutcomeKind.RETRIED or kind is OutcomeKind.RELEASED:
            self.counts.retried += not decision.unknown
            completion = self._requeue(execution, decision)
        else:
            if kind is not OutcomeKind.ABORTED:
                dead_letter = self._dead_letter(execution, decision)
                kind = OutcomeKind.DISCARDED if dead_letter is None else OutcomeKind.DEAD
            completion = self._finish(execution, decision, ended, dead_letter)
            self.counts.failed += 1
        if self.counters:
            completion.counter_update = counter_update(
                execution.claim.queue, kind, ended - execution.started
            )
        if self.observed:
            completion.outcome = _outcome(execution, decision, kind, ended, dead_letter)
        return completion

    def _requeue(self, execution: Execution, decision: Decision) -> Completion:
        if decision.kind is OutcomeKind.RELEASED and not decision.unknown:
            return Completion.requeue(execution.claim)
        return Completion.requeue(
            execution.claim,
            delay_ms=decision.delay_ms,
            tries=None if decision.unknown else execution.number,
            expiry_ms=self.expires_extra_ms,
            unknown_function=decision.unknown,
        )

    def _finish(
        self,
        execution: Execution,
        decision: Decision,
        ended: float,
        dead_letter: DeadLetter | None = None,
    ) -> Completion:
        options = execution.options
        keep_ms = self.unknown_keep_ms if options is None else options.keep_ms
        return Completion.finish(
            execution.claim,
            None if keep_ms is None else self._result(execution, decision, ended),
            keep_ms or 0,
            mark_fired=options is not None and options.fires_once and execution.fires_schedule,
            dead_letter=dead_letter.encode() if dead_letter else b"",
        )

    def _result(self, execution: Execution, decision: Decision, ended: float) -> bytes | None:
        """Return the result as arq stores it."""
        success = decision.kind is OutcomeKind.DONE
        value = decision.value if success else decision.error
        started_ms, ended_ms = round(execution.started * 1000), round(ended * 1000)
        queue, job_id = execution.claim.queue, execution.claim.job_id
        data = {
            "t": execution.number, "f": execution.name, "a": execution.args,
            "k": execution.kwargs, "et": execution.enqueued_ms, "s": success, "r": value,
            "st": started_ms, "ft": ended_ms, "q": queue, "id": job_id,
        }  # fmt: skip
        serializer, payload = self.serializer, execution.claim.payload
        if self.like_payload and payload is not None:
            serializer = pickle.dumps if is_pickle(payload) else serialize
        try:
            written: Any = serializer(data) if serializer else pickle.dumps(data)
            return written.encode() if isinstance(written, str) else written
        except Exception as error:
            if success and self.dead_letters:
                reason = masked_error(error, execution.named_arguments)
                raise SerializationError(f"its result cannot be serialized: {reason}") from error
        # arq stores a placeholder instead of the value.
        return serialize_result(
            execution.name, execution.args, execution.kwargs, execution.number,
            execution.enqueued_ms, success, value, started_ms, ended_ms, execution.label,
            queue, job_id, serializer=serializer,
        )  # fmt: skip

    def _dead_letter(self, execution: Execution, decision: Decision) -> DeadLetter | None:
        """Return the dead letter; None where there is nothing to run again or none is wanted.

        The job of a schedule leaves none: its next fire time comes.
        """
        claim, options, definition = execution.claim, execution.options, execution.definition
        error = decision.error
        if not self.dead_letters or claim.payload is None or error is None:
            return None
        if (options is not None and options.is_cron) or (definition and not definition.dead_letter):
            return None
        return DeadLetter.of(
            error,
            job_id=claim.job_id,
            function=execution.name,
            queue=claim.queue,
            payload=claim.payload,
            tries=execution.number,
            enqueued_at=utc_from_ms(execution.enqueued_ms),
            failed_at=datetime.now(UTC),
            parameters=execution.parameters,
        )


def _outcome(
    execution: Execution,
    decision: Decision,
    kind: OutcomeKind,
    ended: float,
    dead_letter: DeadLetter | None,
) -> Outcome:
    error, retry_in = decision.error, None
    if kind is OutcomeKind.RETRIED:
        retry_in = timedelta(milliseconds=decision.delay_ms or 0)
    shown = error is not None and kind is not OutcomeKind.ABORTED
    return Outcome(
        execution.claim.job_id,
        execution.name,
        execution.claim.queue,
        kind,
        execution.number,
        execution.enqueued_ms / 1000,
        execution.started,
        ended,
        masked_error(error, execution.named_arguments) if error is not None and shown else None,
        retry_in,
        dead_letter.fingerprint if dead_letter else None,
    )


@lru_cache(maxsize=256)
def utc_from_ms(ms: int) -> datetime:
    """Return the moment `ms`, in POSIX milliseconds. Jobs of one batch share their enqueue time."""
    return datetime.fromtimestamp(ms / 1000, UTC)
