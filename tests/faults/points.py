"""Lines of our own code as points at which a process dies.

A tracer, put on from outside, tells of each line that is about to run; the code itself knows
nothing of it.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
_OURS = f"{ROOT / 'jobs'}{os.sep}"


class Point(NamedTuple):
    """Before a line runs for the nth time (from 1). file: below `jobs/`."""

    file: str
    line: int
    nth: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.nth})"


class Tracer:
    """Calls `reached` with each point of this thread, until `stop`. file: with those of this one
    only."""

    def __init__(self, reached: Callable[[Point], None], file: str = "") -> None:
        self._reached = reached
        self._files = _OURS + file
        self._passed: Counter[tuple[str, int]] = Counter()

    def start(self) -> None:
        sys.settrace(self._entered)

    def stop(self) -> None:
        sys.settrace(None)

    def _entered(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._moved if frame.f_code.co_filename.startswith(self._files) else None

    def _moved(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            place = (frame.f_code.co_filename[len(_OURS) :], frame.f_lineno)
            self._passed[place] += 1
            self._reached(Point(*place, self._passed[place]))
        return self._moved


def die_at(point: Point) -> Callable[[Point], None]:
    """Ends this process, as by `kill -9`, when the point is reached."""

    def reached(here: Point) -> None:
        if here == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def lines_of(file: str) -> frozenset[int]:
    """The lines of all functions of a file, as the tracer would tell of them."""
    path = ROOT / "jobs" / file
    found: set[int] = set()
    inside: list[CodeType] = []
    waiting = [compile(path.read_text("utf-8"), str(path), "exec")]
    while waiting:
        code = waiting.pop()
        nested = [one for one in code.co_consts if isinstance(one, CodeType)]
        waiting += nested
        inside += nested
    for code in inside:
        found |= {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
    return frozenset(found)
