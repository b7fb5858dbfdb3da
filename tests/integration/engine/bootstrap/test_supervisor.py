"""Worker processes under their supervisor."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.engine.bootstrap import supervisor as supervisors
from jobs.engine.bootstrap.supervisor import Supervisor, command, spawn
from jobs.errors import UsageError
from jobs.testing.waiting import wait_until
from tests.integration.workers import ROOT

SAYS_SO = "import os, sys; os.write(int(sys.argv[-1]), b'1')"

CHILD = """
import os, signal, sys

path, ready = sys.argv[1], int(sys.argv[-1])
ending = False

def note(what):
    with open(path, "a") as journal:
        print(what, os.getpid(), file=journal)

def end(*_):
    global ending
    ending = True

signal.signal(signal.SIGTERM, lambda *_: note("told"))
signal.signal(signal.SIGUSR1, end)
lives = open(path).read().count("started")
note("started")
def run():
    os.write(ready, b"1")
    note("ready")
    while not ending:
        signal.pause()

{script}
"""
"""A child that ends by SIGUSR1 only, and notes what it goes through. {script}: `run()`, or what it
does in place of it; `lives` is how many there were before."""


@dataclass
class Journal:
    """What the children noted: each word with the process."""

    path: Path

    def lines(self) -> list[tuple[str, int]]:
        words = [line.split() for line in self.path.read_text().splitlines()]
        return [(word, int(pid)) for word, pid in words]

    def words(self) -> list[str]:
        return [word for word, _ in self.lines()]

    async def has(self, word: str, times: int = 1) -> int:
        """Waits until it was noted so often; the process that did last."""
        await wait_until(lambda: self.words().count(word) >= times, 20)
        return [pid for noted, pid in self.lines() if noted == word][times - 1]


@dataclass
class Saves:
    """Changes of files, as watchfiles would tell of them."""

    waiting: asyncio.Queue[object] = field(default_factory=asyncio.Queue)

    async def watch(self, *_: object, **__: object) -> AsyncIterator[object]:
        while True:
            item = await self.waiting.get()
            if isinstance(item, Exception):
                raise item
            yield item
            self.waiting.task_done()

    async def save(self) -> None:
        """A change; returns when the supervisor has dealt with it."""
        self.waiting.put_nowait("saved")
        await self.waiting.join()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    path = tmp_path / "journal"
    path.touch()
    return Journal(path)


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> Saves:
    saves = Saves()
    monkeypatch.setattr("watchfiles.awatch", saves.watch)
    return saves


@asynccontextmanager
async def supervised(
    journal: Journal, script: str = "run()", processes: int = 1, *, reload: bool = False
) -> AsyncIterator[tuple[Supervisor, "asyncio.Task[int]"]]:
    """A supervisor at work beside the block; its children do not outlive it."""
    supervisor = Supervisor(
        [sys.executable, "-I", "-S", "-c", CHILD.format(script=script), str(journal.path)],
        processes,
        grace=0.1,
        watched=[journal.path.parent] if reload else [],
        handle_signals=False,
    )
    running = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(30):
            yield supervisor, running
    finally:
        for word, pid in journal.lines():
            if word == "started":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize(("code", "ready"), [(SAYS_SO, True), ("", False)])
async def test_child_is_ready_once_it_announces_it(code: str, *, ready: bool) -> None:
    child = await spawn([sys.executable, "-c", code], None, None)
    assert await child.ready is ready
    assert await child.process.wait() == 0


async def test_canceled_ready_future_is_no_error() -> None:
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, failure: failures.append(failure))
    child = await spawn([sys.executable, "-c", SAYS_SO], None, None)
    child.ready.cancel()
    assert await child.process.wait() == 0
    other = await spawn([sys.executable, "-c", SAYS_SO], None, None)
    assert await other.ready
    await other.process.wait()
    assert not failures


async def test_children_that_do_not_stop_get_one_sigterm_and_are_killed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "_KILL_AFTER", 0.5)
    async with supervised(journal, processes=2) as (supervisor, running):
        await journal.has("ready", 2)
        supervisor.stop()
        await running
        assert journal.words().count("told") <= 2
        for _, pid in journal.lines():
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_child_that_stops_in_time_gets_one_sigterm(journal: Journal) -> None:
    async with supervised(journal) as (supervisor, running):
        await journal.has("ready")
        supervisor.stop()
        os.kill(await journal.has("told"), signal.SIGUSR1)
        assert await running == 0
        assert journal.words() == ["started", "ready", "told"]


async def test_second_stop_is_forwarded(journal: Journal) -> None:
    async with supervised(journal) as (supervisor, running):
        await journal.has("ready")
        supervisor.stop()
        await journal.has("told")
        supervisor.stop()
        os.kill(await journal.has("told", 2), signal.SIGUSR1)
        assert await running == 0


async def test_reload_replaces_a_child_that_does_not_stop(
    journal: Journal, saves: Saves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisors, "_KILL_AFTER", 0)
    async with supervised(journal, reload=True):
        await journal.has("ready")
        await saves.save()
        await journal.has("ready", 2)


async def test_second_reload_does_not_abort_running_jobs(journal: Journal, saves: Saves) -> None:
    async with supervised(journal, reload=True) as (supervisor, running):
        await journal.has("ready")
        await saves.save()
        pid = await journal.has("told")
        await saves.save()
        os.kill(pid, signal.SIGUSR1)
        pid = await journal.has("ready", 2)
        assert journal.words().count("told") == 1
        supervisor.stop()
        await journal.has("told", 2)
        os.kill(pid, signal.SIGUSR1)
        assert await running == 0


async def test_stop_during_a_reload_does_not_abort_running_jobs(
    journal: Journal, saves: Saves
) -> None:
    async with supervised(journal, reload=True) as (supervisor, running):
        await journal.has("ready")
        await saves.save()
        pid = await journal.has("told")
        supervisor.stop()
        os.kill(pid, signal.SIGUSR1)
        assert await running == 0
        assert journal.words() == ["started", "ready", "told"]


async def test_reload_during_the_first_start_restarts_the_child(
    journal: Journal, saves: Saves
) -> None:
    starting = "run() if lives else signal.pause()"
    async with supervised(journal, starting, processes=2, reload=True) as (_, running):
        await journal.has("started")
        await saves.save()
        await journal.has("ready", 2)
        assert not running.done()


async def test_reload_ends_the_restart_delay(
    journal: Journal,
    saves: Saves,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisors, "MIN_RESTART_DELAY", 1000)
    monkeypatch.setattr(supervisors, "MAX_RESTART_DELAY", 1000)
    dies_once = "run() if lives else os.write(ready, b'1')"
    async with supervised(journal, dies_once, reload=True):
        await wait_until(lambda: "delay=1000s" in caplog.text)
        await saves.save()
        await journal.has("ready")


async def test_reload_without_watchfiles_is_refused(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    async with supervised(journal, reload=True) as (_, running):
        with pytest.raises(UsageError, match=r"pip install 'ringline\[reload\]'"):
            await running
    assert not journal.lines()


async def test_error_of_the_file_watcher_stops_the_supervisor(
    journal: Journal, saves: Saves
) -> None:
    async with supervised(journal, reload=True) as (_, running):
        pid = await journal.has("ready")
        saves.waiting.put_nowait(OSError("OS file watch limit reached"))
        await journal.has("told")
        os.kill(pid, signal.SIGUSR1)
        with pytest.raises(OSError, match="watch limit"):
            await running


def test_working_folder_shadows_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jobs", "settings", "redis"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('of the user')")
    monkeypatch.chdir(tmp_path)
    shown = subprocess.run(  # noqa: S603 - our own
        command("--help"), env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert shown.returncode == 0, shown.stderr


def test_checkout_runs_without_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "-P" not in command()  # it would take the folder out of Python's path
