"""The log lines about jobs, in the form of arq's worker."""

import logging
from time import time
from typing import Any

from arq.utils import args_to_string, truncate
from arq.worker import RetryJob

from jobs.engine.queue.claim import MAX_EXPIRED_LEASES, Claim
from jobs.engine.queue.outcome import OutcomeKind
from jobs.engine.worker.classify import Decision
from jobs.engine.worker.execution import Execution
from jobs.privacy.error_text import error_message

logger = logging.getLogger("arq.worker")


class JobLog:
    """Writes the lines about starts and ends.

    Args:
        verbose: Write arq's lines for each start and end. Workers with observers leave these to
            the observers.
        log_results: Include results, as arq's option of this name.
    """

    def __init__(self, *, verbose: bool, log_results: bool) -> None:
        self.verbose = verbose
        self._log_results = log_results

    def start(self, execution: Execution) -> None:
        """Log that the function is about to be called."""
        if not logger.isEnabledFor(logging.INFO):
            return
        delayed = execution.started - execution.claim.due_ms / 1000
        extra = f" try={execution.number}" if execution.number > 1 else ""
        if delayed > 1.2:
            extra += f" delayed={delayed:0.2f}s"
        waited = execution.started - execution.enqueued_ms / 1000
        arguments = args_to_string(execution.args, execution.kwargs)
        logger.info("%6.2fs → %s(%s)%s", waited, execution.label, arguments, extra)

    def end(self, execution: Execution, decision: Decision, took: float) -> None:
        """Log how an execution ended that took `took` seconds."""
        kind, error = decision.kind, decision.error
        if kind is OutcomeKind.ABORTED:
            logger.info("%6.2fs ⊘ %s aborted", took, execution.label)
        elif not self.verbose:
            return
        elif kind is OutcomeKind.DONE:
            if logger.isEnabledFor(logging.INFO):
                shown = self._log_results and decision.value is not None
                text = _repr(decision.value) if shown else ""
                logger.info("%6.2fs ← %s ● %s", took, execution.label, text)
        elif kind is OutcomeKind.DEAD and error is not None:
            logger.error(
                "%6.2fs ! %s failed, %s: %s",
                took, execution.label, type(error).__name__, error_message(error),
                exc_info=error,
                extra={"extra": _extra(error)},
            )  # fmt: skip
        elif kind is OutcomeKind.RELEASED or _is_cancellation(error):
            logger.info("%6.2fs ↻ %s cancelled, will be run again", took, execution.label)
        else:
            wait = (decision.delay_ms or 0) / 1000
            logger.info("%6.2fs ↻ %s retrying job in %0.2fs", took, execution.label, wait)

    def not_started(self, execution: Execution, decision: Decision) -> None:
        """Log why a claimed job is not run."""
        claim, history, options = execution.claim, execution.claim.history, execution.options
        waited = time() - execution.enqueued_ms / 1000
        if decision.kind is OutcomeKind.ABORTED:
            logger.info("%6.2fs ⊘ %s aborted before start", waited, execution.label)
        elif history.expired_leases >= MAX_EXPIRED_LEASES:
            logger.error(
                "discarding poison job: its lease expired %d times job=%s",
                history.expired_leases, execution.label,
            )  # fmt: skip
        elif options is None:
            logger.warning("job %s, function %r not found", claim.job_id, execution.name)
        else:
            tries = options.max_tries
            logger.warning("%6.2fs ! %s max retries %d exceeded", waited, execution.label, tries)

    def expired(self, claim: Claim) -> None:
        """Log that the payload of a job has expired."""
        logger.warning("job %s expired", claim.job_id)

    def unreadable(self, claim: Claim, reason: str) -> None:
        """Log that the payload of a job cannot be read."""
        logger.error("deserializing job %s failed: %s", claim.job_id, reason)

    def unencodable(self, execution: Execution, traceback: str) -> None:
        """Log that the end of an execution cannot be encoded."""
        logger.error("the end of %s cannot be encoded: %s", execution.label, traceback)

    def lease_lost(self, execution: Execution) -> None:
        """Log that another worker has the job."""
        logger.warning("canceling job: lease lost to another worker job=%s", execution.label)


def _is_cancellation(error: BaseException | None) -> bool:
    return error is None or isinstance(error, RetryJob) or not isinstance(error, Exception)


def _repr(value: Any) -> str:
    try:
        return truncate(repr(value))
    except Exception as error:  # noqa: BLE001 - any class may have a broken repr
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def _extra(error: BaseException) -> Any:
    """Return arq's `extra` of an exception: a value, or a function that makes one."""
    try:
        extra = getattr(error, "extra", None)
        return extra() if callable(extra) else extra
    except Exception as broken:  # noqa: BLE001 - it only decorates a log line
        return f"{type(broken).__name__}: {error_message(broken)}"
