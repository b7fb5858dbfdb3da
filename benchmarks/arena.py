"""Runs contestants' processes against the server, and reads what they report."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psutil

from benchmarks import environments
from benchmarks.contestants.order import Order
from benchmarks.lineup import Contestant
from benchmarks.server import Server

PATIENCE: Final = 60.0
"""Seconds without a report after which a contestant is given up."""
_GLANCE: Final = 1.0
REPORTS: Final = 200
"""Reports of a run: enough to see its end, too few to be felt."""


class ContestantError(Exception):
    """A contestant's process ended, or fell silent."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"{name} did not do its part: {said.strip()[-500:] or 'no word'}")


@dataclass(frozen=True, slots=True)
class Report:
    """pid: of the process. value: what it says, by its job. at: seconds, of the machine's clock."""

    pid: int
    value: int
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """per_s: jobs a second. worker_us, redis_us: microseconds of CPU a job."""

    per_s: float
    worker_us: float
    redis_us: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a team stands. jobs: done so far. at: seconds. The others: seconds of CPU so far."""

    jobs: int
    at: float
    worker_cpu: float
    redis_cpu: float

    def run_since(self, before: "Reading") -> Run:
        jobs = self.jobs - before.jobs
        return Run(
            per_s=jobs / (self.at - before.at),
            worker_us=(self.worker_cpu - before.worker_cpu) / jobs * 1e6,
            redis_us=(self.redis_cpu - before.redis_cpu) / jobs * 1e6,
        )


class Team:
    """The processes of one contestant, and the pipe by which they report."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._processes: list[psutil.Popen] = []
        self._read_end, self._write_end = os.pipe()
        self._unread = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def start(self, contestant: Contestant, module: str, order: Order) -> psutil.Popen:
        try:
            home = environments.python(contestant.environment, contestant.requirements)
        except subprocess.CalledProcessError as error:
            raise ContestantError(self._name, f"{error}") from error
        order = replace(
            order, pipe=self._write_end, options=contestant.options, uvloop=contestant.uvloop
        )
        process = psutil.Popen(
            [str(home), "-m", f"benchmarks.contestants.{module}", order.written()],
            cwd=environments.ROOT,
            pass_fds=[self._write_end],
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def report(self, patience: float = PATIENCE) -> Report:
        """The next report. Raises ContestantError when there is none within `patience` seconds."""
        deadline = time.monotonic() + patience
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._read_end], [], [], _GLANCE)
            if ready:
                self._unread += os.read(self._read_end, 65536)
            elif time.monotonic() > deadline or not self._alive():
                raise ContestantError(self._name, self.said())
        line, _, self._unread = self._unread.partition(b"\n")
        pid, value, at_ns = map(int, line.split())
        return Report(pid, value, at_ns / 1e9)

    def _alive(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def said(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def cpu(self) -> float:
        """Seconds of CPU used so far by the processes that still run."""
        return sum(_cpu(process) for process in self._processes if process.is_running())

    def rss(self) -> int:
        """Bytes in memory."""
        return sum(int(process.memory_info().rss) for process in self._processes)

    def close(self) -> None:
        """End the processes, at once: what they leave behind is of no use."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(self._read_end)
        os.close(self._write_end)
        self._said.close()


class Arena:
    """Where contestants run, one at a time, each on an empty server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def order(self, contestant: Contestant, **wanted: Any) -> Order:
        """An order for a contestant, at its best setting where nothing else is wanted."""
        order = Order("work", self.server.url, concurrency=contestant.concurrency)
        return replace(order, **wanted)

    @contextlib.contextmanager
    def team(self, contestant: Contestant) -> Iterator[Team]:
        """The contestant's processes, ended when the block is left; the server is empty before."""
        self.server.empty()
        team = Team(contestant.name)
        try:
            yield team
        finally:
            team.close()

    def produce(self, contestant: Contestant, order: Order) -> None:
        """Run a producer until all is enqueued."""
        team = Team(contestant.name)
        try:
            module = contestant.producer or contestant.module
            process = team.start(contestant, module, order)
            if process.wait() != 0:
                raise ContestantError(contestant.name, team.said())
        finally:
            team.close()

    def drain(
        self,
        contestant: Contestant,
        count: int,
        *,
        processes: int = 1,
        deferred: int = 0,
        **wanted: Any,
    ) -> Run:
        """Fill the queue with `count` jobs, then start workers and see how fast it is emptied.
        deferred: how many jobs for later are in the queue, too."""
        order = self.order(contestant, every=max(count // REPORTS, 1), **wanted)
        with self.team(contestant) as team:
            if deferred:
                self.produce(contestant, replace(order, role="defer", count=deferred))
            self.produce(contestant, replace(order, role="produce", count=count + _beyond(count)))
            for _ in range(processes):
                team.start(contestant, contestant.module, order)
            return self._timed(team, count - 1, order.every, processes)

    def live(self, contestant: Contestant, count: int, **wanted: Any) -> Run:
        """Enqueue `count` jobs while a worker is at work."""
        order = self.order(contestant, every=max(count // REPORTS, 1), **wanted)
        with self.team(contestant) as team:
            self.warm_up(team, contestant, order)
            module = contestant.producer or contestant.module
            producing = replace(order, role="produce", count=count + _beyond(count))
            producer = Team(contestant.name)
            try:
                producer.start(contestant, module, producing)
                return self._timed(team, count, order.every)
            finally:
                producer.close()

    def enqueue(self, contestant: Contestant, count: int) -> Run:
        """Enqueue `count` jobs; `worker_us` is the producer's."""
        order = self.order(contestant, role="produce", count=count)
        with self.team(contestant) as team:
            team.start(contestant, contestant.producer or contestant.module, order)
            first = self.reading(team, team.report())
            return self.reading(team, team.report()).run_since(first)

    def pinged(self, contestant: Contestant, pings: int, seed: int) -> list[float]:
        """Milliseconds that each of `pings` jobs, sent now and then, waited for its start."""
        order = self.order(contestant, concurrency=10)
        with self.team(contestant) as team:
            self.warm_up(team, contestant, order)
            pinging = replace(order, role="ping", job="stamp", count=pings, seed=seed)
            self.produce(contestant, pinging)
            return [team.report().value / 1e6 for _ in range(pings)]

    def warm_up(self, team: Team, contestant: Contestant, order: Order) -> None:
        """Start a worker, and return when it has done a first job."""
        team.start(contestant, contestant.module, order)
        self.produce(contestant, replace(order, role="produce", job="noop", count=1))
        team.report()

    def reading(self, team: Team, report: Report, jobs: int | None = None) -> Reading:
        """Where a team stands at its report. jobs: by default what the report says."""
        done = report.value if jobs is None else jobs
        return Reading(done, report.at, team.cpu(), self.server.cpu())

    def _timed(self, team: Team, last: int, every: int, processes: int = 1) -> Run:
        """From the moment when all processes have begun until job number `last` is done, so far as
        processes say that report one job in `every`."""
        done: dict[int, int] = {}
        while len(done) < processes:
            report = team.report()
            done[report.pid] = report.value
        first = self.reading(team, report, sum(done.values()))
        while sum(done.values()) <= last - every * processes:
            report = team.report()
            done[report.pid] = report.value
        return self.reading(team, report, sum(done.values())).run_since(first)


def _beyond(count: int) -> int:
    """How many jobs more there are than are timed: the clock stops while all is still under way, so
    that those who claim or finish by the batch gain nothing at either end."""
    return max(count // 20, 5)


def _cpu(process: psutil.Popen) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        family: Sequence[psutil.Process] = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:2]) for member in family)
    return 0.0
