"""Event loop of a worker process."""

import asyncio
import sys

import pytest

from jobs.engine.bootstrap.event_loop import run


async def _loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_event_loop_is_uvloop_if_installed() -> None:
    assert run(_loop_module()) == "uvloop"


def test_event_loop_is_asyncios_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)

    assert run(_loop_module()) == "asyncio"
