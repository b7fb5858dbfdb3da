"""`@job` refuses what a worker could not serve, and serves the rest."""

import functools
import sys
import typing
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from jobs.engine.definition.decorator import job
from jobs.engine.definition.job import definition_of
from jobs.errors import UsageError, ValidationError
from jobs.settings import load_settings

CONTEXT = {"job_try": 1, "score": 1, "engine": None, "settings": load_settings(_env_file=None)}


class Service:
    async def handle(self, ctx: dict[str, Any]) -> None: ...

    async def __call__(self, ctx: dict[str, Any]) -> None: ...


async def plain(ctx: dict[str, Any], lead_id: int) -> int:
    return lead_id


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (functools.partial(plain, lead_id=1), "is a partial: decorate an `async def` function"),
        (Service(), "is a Service: decorate an `async def` function"),
        (Service.handle, "is a method of Service: decorate a function"),
        (Service().handle, "is a method: decorate an `async def` function"),
        (lambda ctx: None, "is not an `async def`"),
    ],
)
def test_body_that_no_worker_could_serve_is_refused(body: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=f"tests.refused {reason}"):
        job("tests.refused")(body)


def test_body_without_a_context_is_refused() -> None:
    async def nothing() -> None: ...

    with pytest.raises(UsageError, match="its first parameter is the context"):
        job("tests.no_context")(nothing)


@job("tests.named_like_ours")
async def named_like_ours(context: Any, ctx: int, self: int, function: str) -> tuple[Any, ...]:
    return ctx, self, function


async def test_parameters_may_have_the_names_of_ours() -> None:
    assert await named_like_ours(CONTEXT, ctx=1, self=2, function="f") == (1, 2, "f")


def with_session(
    function: Callable[..., Coroutine[Any, Any, Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(function)
    async def wrapper(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        return await function(ctx, *args, session="session", **kwargs)

    return wrapper


@job("tests.decorated")
@with_session
async def decorated(ctx: dict[str, Any], lead_id: int, *, session: str) -> tuple[int, str]:
    return lead_id, session


async def test_decorator_below_may_supply_an_argument() -> None:
    assert await decorated(CONTEXT, "7") == (7, "session")


async def test_positional_only_parameter_is_named_in_the_error() -> None:
    @job("tests.positional_only")
    async def positional_only(ctx: dict[str, Any], lead_id: int, /, n: int = 1) -> None: ...

    definition = definition_of(positional_only)
    assert definition is not None
    with pytest.raises(ValidationError, match="lead_id: Input should be a valid integer"):
        definition.check(["x"], {})


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic takes it from Python 3.12 on")
def test_typed_dict_of_the_standard_library_names_job_and_parameter() -> None:
    Columns = typing.TypedDict("Columns", {"name": str})  # noqa: UP013

    async def with_columns(ctx: dict[str, Any], lead_id: int, columns: Columns) -> None: ...

    with_columns.__annotations__["columns"] = Columns
    definition = definition_of(job("tests.typed_dict")(with_columns))
    assert definition is not None
    with pytest.raises(UsageError, match=r"tests\.typed_dict: .*annotation of columns.*TypedDict"):
        definition.check([1, {"name": "Ann"}], {})
