"""Jobs that do as they are told, to try a worker out: one that answers, one with a script."""

import asyncio
import builtins
import os
import signal

from jobs import errors
from jobs.context import JobContext
from jobs.engine import job, retry


@job("default.ping", timeout=5)
@retry()
async def ping(ctx: JobContext) -> str:
    """Answers `pong`."""
    return "pong"


@job("default.scripted", timeout=60)
@retry()
async def run_script(ctx: JobContext, *steps: str) -> int:
    """Plays the step of this try, and the last one for all tries after it; answers the try.

    | step | what happens |
    |---|---|
    | `ok` | it returns |
    | `sleep:SECONDS` | it returns after that time |
    | `fail:ERROR` | it raises this error of `jobs.errors`, or of Python; `fail` a RuntimeError |
    | `retry_after:SECONDS` | it raises an ExternalServiceError that asks for this wait |
    | `die` | its process ends at once, as by kill -9 |
    """
    number = ctx["job_try"]
    step = steps[min(number, len(steps)) - 1] if steps else "ok"
    await _play(step, f"try {number} of the script")
    return number


async def _play(step: str, message: str) -> None:
    kind, _, argument = step.partition(":")
    match kind:
        case "ok":
            return
        case "sleep":
            await asyncio.sleep(_seconds(step, argument))
        case "fail":
            raise _error(argument or "RuntimeError", message)
        case "retry_after":
            raise errors.ExternalServiceError(message, retry_after=_seconds(step, argument))
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            raise errors.ValidationError(
                f"no such step: {step!r} (there are ok, sleep:S, fail:ERROR, retry_after:S, die)"
            )


def _seconds(step: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise errors.ValidationError(
            f"{step!r} needs a number of seconds after the colon"
        ) from None


def _error(name: str, message: str) -> Exception:
    if name == "NotFoundError":
        return errors.NotFoundError("row", message)
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise errors.ValidationError(f"no such error class: {name}")
    return kind(message)
