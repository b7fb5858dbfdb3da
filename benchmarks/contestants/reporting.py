"""What a contestant's process tells of its work, by lines in a pipe; its order is its argument."""

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
"""Seconds of I/O of the job `wait`."""


class Reporter:
    """Says how many jobs were done so far, and when: `pid value nanoseconds`."""

    def __init__(self, pipe: int, every: int) -> None:
        self._pipe = pipe
        self._every = every
        self._numbers = itertools.count()  # safe in threads, unlike `+= 1`

    def done(self) -> None:
        """One more job has run. The very first is reported too: the clock starts there."""
        number = next(self._numbers)
        if not number % self._every:
            self.say(number)

    def stamp(self, sent_ns: int) -> None:
        """A job was started that was sent at `sent_ns`."""
        self.say(time.monotonic_ns() - sent_ns)

    def say(self, value: int) -> None:
        os.write(self._pipe, b"%d %d %d\n" % (os.getpid(), value, time.monotonic_ns()))


ORDER: Final = Order(**json.loads(sys.argv[1]))
REPORTER: Final = Reporter(ORDER.pipe, ORDER.every)

Role = Callable[[Order], Coroutine[Any, Any, None]]


def obey(**roles: Role) -> None:
    """Run the role that is asked for; of what libraries log, only errors are shown. Where uvloop is
    installed it is used, unless the order says otherwise."""
    logging.basicConfig(level=logging.ERROR)
    if ORDER.uvloop and importlib.util.find_spec("uvloop"):
        asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())
    asyncio.run(roles[ORDER.role](ORDER))
