"""The `@job` decorator: turns a coroutine function into a job."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from arq.typing import SecondsTimedelta
from arq.utils import to_seconds

from jobs.engine.definition import attempt
from jobs.engine.definition.arguments import Body
from jobs.engine.definition.job import JobDefinition, register
from jobs.engine.definition.retry import policy_of
from jobs.errors import UsageError

F = TypeVar("F", bound=Body)


def job(
    name: str,
    *,
    timeout: SecondsTimedelta | None = None,
    queue: str | None = None,
    keep_result: SecondsTimedelta | None = None,
    aliases: Sequence[str] = (),
    dead_letter: bool = True,
) -> Callable[[F], F]:
    """Make `async def verb_noun(ctx, …)` a job. The decorator stands above `@retry`.

    When a worker calls the coroutine, it validates the arguments and retries. When a test or
    another job calls it, it runs as written.

    Args:
        name: `domain.verb`, permanent: payloads of waiting jobs contain it.
        timeout: Seconds for one execution, after which the job is retried; by default
            TASK_TIMEOUT.
        queue: The queue for producers that enqueue the function; by default the queue that the
            name or the settings class determines.
        keep_result: Seconds for which a result is kept, 0 for not at all; by default the worker's
            setting.
        aliases: Former names, under which waiting jobs still run.
        dead_letter: Keep a dead letter if the job fails for good.

    Returns:
        The decorator. It keeps the function's signature.

    Raises:
        UsageError: The name is taken, or a worker could not serve the function: a method, a
            `functools.partial`, a callable object, no `async def`, no context parameter.
    """

    def define(body: F) -> F:
        _require_function(name, body)
        definition = JobDefinition(
            name=name,
            body=body,
            policy=policy_of(body),
            timeout=to_seconds(timeout),
            queue=queue,
            keep_result=to_seconds(keep_result),
            aliases=tuple(aliases),
            dead_letter=dead_letter,
        )
        register(definition)

        @functools.wraps(body)
        async def run(ctx: Any, /, *args: Any, **kwargs: Any) -> Any:
            if attempt.called_by_worker(definition, ctx):
                return await attempt.run(definition, ctx, args, kwargs)
            return await body(ctx, *args, **kwargs)

        run.__qualname__ = name  # arq names a function by it
        run.__job__ = definition  # type: ignore[attr-defined]  # read by definition_of
        return run  # type: ignore[return-value]  # the same signature

    return define


def _require_function(name: str, body: object) -> None:
    """Refuse what a worker could not serve as a job."""
    if not inspect.isfunction(body):
        kind = type(body).__name__
        raise UsageError(
            f"the job {name} is a {kind}: decorate an `async def` function that calls it"
        )
    if not inspect.iscoroutinefunction(body):
        raise UsageError(f"the job {name} is not an `async def`")
    parameters = list(inspect.signature(body).parameters)
    owner = body.__qualname__.rpartition(".")[0]
    if owner and not owner.endswith("<locals>") and parameters[:1] in (["self"], ["cls"]):
        raise UsageError(
            f"the job {name} is a method of {owner}: decorate a function whose first parameter is "
            "the context, and let it call the method"
        )
    if not parameters:
        raise UsageError(f"the job {name} takes no context: its first parameter is the context")
