"""A long run of a command, which ends in good order when it is interrupted."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine answers. Ctrl-C, SIGTERM and SIGHUP cancel it, and raise click.Abort."""

    async def cancelled_by_signals() -> T:
        task = asyncio.create_task(coroutine)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise click.Abort from None
