"""The event loop of a worker process."""

import asyncio
import sys

import pytest

from jobs.engine.bootstrap.event_loop import run


async def _loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_uvloop_is_used_where_it_is_installed() -> None:
    assert run(_loop_module()) == "uvloop"


def test_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert run(_loop_module()) == "asyncio"
