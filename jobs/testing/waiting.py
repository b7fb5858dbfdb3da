"""Waiting for what happens in other tasks and processes, without guessing how long it takes."""

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
    """Waits until `condition()`, awaited if need be, is true, and returns what it returned.

    timeout, interval: seconds of real time. Raises TimeoutError, naming the condition.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout:g} s: {_name(condition)}")
        await asyncio.sleep(interval)


def _name(condition: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return getattr(condition, "__qualname__", repr(condition))
