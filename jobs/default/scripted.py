"""Job that plays a script, for tests of workers and for chaos runs.

A script can kill its worker, so the worker of `default` does not serve it. To switch it on, name
`ScriptedSettings` beside the other settings of a worker.
"""

import asyncio
import builtins
import os
import signal

from jobs import errors
from jobs.context import DomainSettings, JobContext
from jobs.engine import job, retry


@job("default.scripted", timeout=60)
@retry()
async def run_script(ctx: JobContext, *steps: str) -> int:
    """Play one step of a script per execution; the last step repeats.

    | step | effect |
    |---|---|
    | `ok` | returns |
    | `sleep:SECONDS` | returns after that time |
    | `fail:ERROR` | raises this error of `jobs.errors` or of Python; `fail` raises RuntimeError |
    | `retry_after:SECONDS` | raises an ExternalServiceError with this `retry_after` |
    | `die` | kills the process, as kill -9 does |

    Args:
        ctx: Job context.
        steps: Steps of the first, second, … execution; without steps, `ok`.

    Returns:
        Number of the execution, from 1.

    Raises:
        ValidationError: The step is malformed or unknown.
    """
    number = ctx["job_try"]
    step = steps[min(number, len(steps)) - 1] if steps else "ok"
    await _play_step(step, f"try {number} of the script")
    return number


class ScriptedSettings(DomainSettings):
    """Settings that add `default.scripted` to a worker of the default queue.

    `ringline worker default,jobs.default.scripted.ScriptedSettings`
    """

    queue_name = "default"
    functions = [run_script]


async def _play_step(step: str, message: str) -> None:
    kind, _, argument = step.partition(":")
    match kind:
        case "ok":
            return
        case "sleep":
            await asyncio.sleep(_parse_seconds(step, argument))
        case "fail":
            raise _build_error(argument or "RuntimeError", message)
        case "retry_after":
            raise errors.ExternalServiceError(message, retry_after=_parse_seconds(step, argument))
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            raise errors.ValidationError(
                f"no such step: {step!r}: use ok, sleep:S, fail:ERROR, retry_after:S or die"
            )


def _parse_seconds(step: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise errors.ValidationError(f"{step!r}: put a number of seconds after the colon") from None


def _build_error(name: str, message: str) -> Exception:
    if name == "NotFoundError":
        return errors.NotFoundError("row", message)
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise errors.ValidationError(
            f"no such error class: {name}: use one of jobs.errors or of Python"
        )
    return kind(message)
