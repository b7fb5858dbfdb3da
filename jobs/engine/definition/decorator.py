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
    """Makes `async def verb_noun(ctx, …)` a job; stands above `@retry`.

    name: `domain.verb`, permanent: it is in the payloads of waiting jobs; a renamed job keeps its
    old names as aliases. timeout: seconds for one try, which is tried again when they are over.
    queue: for producers that import the job; others go by the name. keep_result: seconds, 0 for
    not at all. dead_letter: False lets a failed job go without a trace but the log.

    Called by a worker, the coroutine checks its arguments and retries; called directly, as in a
    test or from another job, it runs as written. Raises UsageError when the name is taken.
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
