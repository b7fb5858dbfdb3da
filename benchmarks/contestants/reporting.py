"""Entry point of a contestant's process: reads its order and reports through a pipe."""

import asyncio
import importlib.util
import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from benchmarks.contestants.order import Order

WAIT: Final = 0.01
"""Length of the job `wait`, in seconds."""


class Reporter:
    """Writes reports to a pipe, one line each: `pid value nanoseconds`.

    Args:
        pipe: File descriptor to write to.
        every: Number of jobs per report.
    """

    def __init__(self, pipe: int, every: int) -> None:
        self._pipe = pipe
        self._every = every
        self._numbers = itertools.count()  # thread-safe, unlike `+= 1`

    def done(self) -> None:
        """Count a finished job. The first job is reported too, since it starts the clock."""
        number = next(self._numbers)
        if not number % self._every:
            self.report(number)

    def stamp(self, sent_ns: int) -> None:
        """Report the latency of a job that starts now.

        Args:
            sent_ns: Monotonic time of the enqueue, in nanoseconds.
        """
        self.report(time.monotonic_ns() - sent_ns)

    def report(self, value: int) -> None:
        """Write one report.

        Args:
            value: Jobs done so far, or a latency in nanoseconds.
        """
        os.write(self._pipe, b"%d %d %d\n" % (os.getpid(), value, time.monotonic_ns()))


ORDER: Final = Order(**json.loads(sys.argv[1]))
REPORTER: Final = Reporter(ORDER.pipe, ORDER.every)

Role = Callable[[Order], Coroutine[Any, Any, None]]


def run_role(**roles: Role) -> None:
    """Run the role of this process's order, on uvloop if it is requested and installed.

    Libraries log only errors.

    Args:
        roles: Coroutine function of each supported role.
    """
    logging.basicConfig(level=logging.ERROR)
    if ORDER.uvloop and importlib.util.find_spec("uvloop"):
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    asyncio.run(roles[ORDER.role](ORDER))
