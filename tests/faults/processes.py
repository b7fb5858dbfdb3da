"""The processes of a fault run: a provider that keeps a ledger, workers that die, and one that
puts things right afterwards. They are forked from a server that has imported all this already."""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from uuid import UUID

from jobs import call, lead
from jobs.clock import ScaledClock
from jobs.engine.bootstrap.workers import create_worker, in_turn, serve
from jobs.engine.connection.urls import Address
from jobs.engine.worker.options import Hook
from jobs.logs import configure
from jobs.settings import get_settings
from jobs.voice import SeededPlan, Simulator, Trouble
from jobs.voice import serve as serve_simulator
from jobs.voice.protocol import Answer, CallRequest
from tests.faults.points import Point, Tracer, die_at

SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["tests.faults.processes"])

LEASE = 1.0
"""Seconds, of a worker that is made to die."""


class SharedClock:
    """One line of business time for all processes, which the run may move on at a stroke."""

    def __init__(self, start: datetime, rate: float, epoch: float) -> None:
        self._values = SPAWN.Array("d", [start.timestamp(), rate, epoch])

    @property
    def line(self) -> ScaledClock:
        start, rate, epoch = self._values[:]
        return ScaledClock(datetime.fromtimestamp(start, UTC), rate, epoch)

    def jump(self, by: timedelta, rate: float, epoch: float) -> None:
        """From `epoch`, which is now, on: later by `by`, and at another rate."""
        self._values[:] = [(self.now() + by).timestamp(), rate, epoch]

    def now(self) -> datetime:
        return self.line.now()

    def real_delay(self, until: datetime) -> timedelta:
        return self.line.real_delay(until)

    def ago(self, real: timedelta) -> datetime:
        return self.line.ago(real)


@dataclass(frozen=True)
class Provider:
    """How the provider is set up: the same for all who want to know what it will do."""

    seed: int
    trouble: Trouble
    ledger: Path
    """Gets the key of each request, one a line, before the request is looked at."""

    def simulator(self, clock: Any, *, ledger: bool = True) -> Simulator:
        kind = _Ledgered if ledger else Simulator
        made = kind(SeededPlan(self.seed), clock, seed=self.seed, trouble=self.trouble)
        if isinstance(made, _Ledgered):
            made.ledger = self.ledger
        return made


class _Ledgered(Simulator):
    ledger: Path

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        with self.ledger.open("a") as ledger:
            ledger.writelines(f"{request.call_id}\n" for request in requests)
        return await super().place(requests)


def provide(provider: Provider, clock: SharedClock, socket: Path, ready: Any) -> None:
    """Serves the provider until the process is ended."""

    async def run() -> None:
        async with serve_simulator(provider.simulator(clock), socket):
            ready.set()
            await asyncio.Event().wait()

    configure("CRITICAL")
    asyncio.run(run())


def work(
    environment: Mapping[str, str],
    limits: Mapping[str, float],
    queue: str,
    after_startup: Sequence[Hook] = (),
    before_shutdown: Sequence[Hook] = (),
) -> None:
    """A worker that runs what is in its queue, to the end."""
    _configure(environment)
    vars(import_module("jobs.call.dispatch")).update(limits)
    _serve([queue], environment, after_startup, before_shutdown, lease=LEASE, burst=True)


def work_traced(
    environment: Mapping[str, str],
    limits: Mapping[str, float],
    queue: str,
    dies_at: Point | None,
    passed: Connection | None,
) -> None:
    """A worker that runs what is in its queue: to the end, or to the point where it dies.

    The points that it passes from its start-up to its shutdown are sent to `passed`.
    """
    points: list[Point] = []
    tracer = Tracer(points.append) if dies_at is None else Tracer(die_at(dies_at), dies_at.file)

    async def started(ctx: dict[Any, Any]) -> None:
        tracer.start()

    async def stopping(ctx: dict[Any, Any]) -> None:
        tracer.stop()
        if passed is not None:
            passed.send(points)

    work(environment, limits, queue, [started], [stopping])


def recover(environment: Mapping[str, str], queues: Sequence[str]) -> None:
    """A worker that runs what is in its queues until the process is told to stop."""
    _configure(environment)
    _serve(queues, environment, lease=15.0)


async def ended(process: ForkServerProcess) -> int | None:
    """Waits for the end of a process; its exit code, below 0 for the signal that killed it."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()
    return process.exitcode


def _serve(
    queues: Sequence[str],
    environment: Mapping[str, str],
    after_startup: Sequence[Hook] = (),
    before_shutdown: Sequence[Hook] = (),
    **options: Any,
) -> None:
    async def run() -> None:
        redis = Address.of(environment["REDIS_URL"]).arq_settings()
        options.update(queues=list(queues), redis_settings=redis, max_jobs=20, cron_jobs=[])
        classes = (call.WorkerSettings, lead.WorkerSettings)
        worker = create_worker(*classes, **options)
        opening, closing = worker.on_startup, worker.on_shutdown
        assert opening is not None
        assert closing is not None
        worker.on_startup = in_turn([opening, *after_startup])  # type: ignore[assignment]  # arq wants a __qualname__ with it
        worker.on_shutdown = in_turn([*before_shutdown, closing])  # type: ignore[assignment]  # arq wants a __qualname__ with it
        await serve(worker)

    asyncio.run(run())


def _configure(environment: Mapping[str, str]) -> None:
    configure("CRITICAL")
    os.environ.update(environment)
    get_settings.cache_clear()
