"""The event loop of a worker process: uvloop where it is installed, else asyncio's own."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

CANCEL_TIMEOUT: Final = 5.0
"""Seconds that tasks which are left at the end have to react to their cancellation."""

logger = logging.getLogger("jobs.worker")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a worker process's main coroutine, as `asyncio.run` does.

    On uvloop, a no-op job costs a fifth less. A task that ignores its cancellation would keep
    `asyncio.run` waiting forever; here it is logged, and the process exits with code 1.
    """
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        try:
            return runner.run(main)
        finally:
            stubborn = runner.run(_cancel_all())
            if stubborn:
                logger.error("exiting though tasks ignore cancellation: %s", ", ".join(stubborn))
                logging.shutdown()
                sys.stdout.flush()
                os._exit(1)


async def _cancel_all() -> list[str]:
    """Cancel all other tasks; return the names of those that go on."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return []
    _, stubborn = await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)
    return sorted(task.get_name() for task in stubborn)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        from uvloop import new_event_loop
    except ImportError:  # an extra; there is no uvloop for Windows
        return asyncio.new_event_loop()
    return new_event_loop()
