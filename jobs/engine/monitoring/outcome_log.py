"""Log lines about outcomes: one per outcome, while they are few enough to read."""

from typing import Final

import structlog

from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.privacy.error_text import mask_message
from jobs.privacy.fields import NamedValues

logger = structlog.get_logger("jobs.engine")

LINES_A_SECOND: Final = 20
"""Lines about done jobs: nobody reads more, and a line costs more than a no-op job."""

_LEVELS: Final = {
    OutcomeKind.DONE: "info",
    OutcomeKind.RETRIED: "warning",
    OutcomeKind.DEAD: "error",
    OutcomeKind.DISCARDED: "error",
    OutcomeKind.ABORTED: "info",
    OutcomeKind.RELEASED: "info",
}


def masked_error(error: BaseException, arguments: NamedValues = ()) -> str:
    """Return `ErrorClass: message` on one line, masked.

    Args:
        error: Any error.
        arguments: The job's arguments; what the message repeats of them is masked.
    """
    return " ".join(f"{type(error).__name__}: {mask_message(error, arguments)}".split())


def log_start(job_id: str, function: str, queue: str, try_number: int) -> None:
    """Log the start of an execution at DEBUG."""
    logger.debug("job_started", job=function, id=job_id, queue=queue, try_number=try_number)


def log_outcome(outcome: Outcome, unlogged: int = 0) -> None:
    """Log an outcome: DONE at INFO, a retry at WARNING, a dead or discarded job at ERROR.

    Args:
        outcome: The outcome.
        unlogged: Done jobs before it that have no line.
    """
    details: dict[str, object] = {}
    if outcome.error is not None:
        details["error"] = outcome.error
    if outcome.retry_in is not None:
        details["retry_in"] = round(outcome.retry_in.total_seconds(), 3)
    if unlogged:
        details["unlogged"] = unlogged
    getattr(logger, _LEVELS[outcome.kind])(
        f"job_{outcome.kind}",
        job=outcome.function,
        id=outcome.job_id,
        queue=outcome.queue,
        try_number=outcome.try_number,
        seconds=round(outcome.seconds, 6),
        **details,
    )


class OutcomeLog:
    """An observer that logs outcomes.

    Of done jobs, only the first few of each second are logged. The next line counts the rest.

    Args:
        lines_a_second: Lines about done jobs per second.
    """

    def __init__(self, lines_a_second: int = LINES_A_SECOND) -> None:
        self._limit = lines_a_second
        self._second = 0
        self._lines = 0
        self._unlogged = 0

    def __call__(self, outcome: Outcome) -> None:
        if outcome.kind is OutcomeKind.DONE:
            second = int(outcome.finished)
            if second != self._second:
                self._second, self._lines = second, 0
            self._lines += 1
            if self._lines > self._limit:
                self._unlogged += 1
                return
        log_outcome(outcome, self._unlogged)
        self._unlogged = 0
