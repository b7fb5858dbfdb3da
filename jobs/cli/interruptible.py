"""Long runs that stop cleanly on a signal."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; cancel it on SIGINT, SIGTERM or SIGHUP.

    Args:
        coroutine: The command's work. It cleans up when it is canceled.

    Returns:
        The coroutine's result.

    Raises:
        click.Abort: A signal canceled the coroutine.
    """

    async def canceled_by_signals() -> T:
        task = asyncio.create_task(coroutine)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(canceled_by_signals())
    except asyncio.CancelledError:
        raise click.Abort from None
