"""Waiting for conditions that other tasks and processes fulfill, instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def wait_until(
    condition: Callable[[], Coroutine[Any, Any, T]], timeout: float = ..., *, interval: float = ...
) -> T: ...
@overload
async def wait_until(
    condition: Callable[[], T], timeout: float = ..., *, interval: float = ...
) -> T: ...
async def wait_until(
    condition: Callable[[], Any], timeout: float = 10, *, interval: float = 0.02
) -> Any:
    """Wait until a condition is true.

    Args:
        condition: Function or coroutine function, called again and again.
        timeout: Real seconds to wait.
        interval: Real seconds between two calls.

    Returns:
        The first true result of the condition.

    Raises:
        TimeoutError: The condition is still false; the message shows its source.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if time.monotonic() >= deadline:
            raise TimeoutError(f"condition still false after {timeout:g} s: {_source(condition)}")
        await asyncio.sleep(interval)


def _source(condition: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return getattr(condition, "__qualname__", repr(condition))
