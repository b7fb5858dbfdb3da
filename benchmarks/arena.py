"""Runs the contestants' processes against the server and reads their reports."""

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

REPORT_TIMEOUT: Final = 60.0
"""Seconds without a report after which a contestant has failed."""
_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks that a process is alive."""
REPORTS: Final = 200
"""Reports per run: enough to time its end, too few to cost anything."""


class ContestantError(Exception):
    """A contestant's process exited or stopped reporting.

    Args:
        name: Name of the contestant.
        output: Standard error of its processes.
    """

    def __init__(self, name: str, output: str) -> None:
        super().__init__(f"{name} failed: {output.strip()[-500:] or 'no output'}")


@dataclass(frozen=True, slots=True)
class Report:
    """Report of a contestant's process.

    Attributes:
        pid: Process id.
        value: Jobs done so far, or the latency of one job in nanoseconds.
        at: Time in seconds, by `time.monotonic()`.
    """

    pid: int
    value: int
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run.

    Attributes:
        per_s: Jobs per second.
        worker_us: CPU microseconds per job of the contestant's processes.
        redis_us: CPU microseconds per job of Redis.
    """

    per_s: float
    worker_us: float
    redis_us: float


@dataclass(frozen=True, slots=True)
class Reading:
    """State of a team at one time.

    Attributes:
        jobs: Jobs done so far.
        at: Time in seconds.
        worker_cpu: CPU seconds used so far by the team's processes.
        redis_cpu: CPU seconds used so far by Redis.
    """

    jobs: int
    at: float
    worker_cpu: float
    redis_cpu: float

    def run_since(self, before: "Reading") -> Run:
        """Return the figures between two readings.

        Args:
            before: Earlier reading.

        Returns:
            The figures.
        """
        jobs = self.jobs - before.jobs
        return Run(
            per_s=jobs / (self.at - before.at),
            worker_us=(self.worker_cpu - before.worker_cpu) / jobs * 1e6,
            redis_us=(self.redis_cpu - before.redis_cpu) / jobs * 1e6,
        )


class Team:
    """Processes of one contestant and the pipe that they report through.

    Args:
        name: Name of the contestant.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._processes: list[psutil.Popen] = []
        self._read_end, self._write_end = os.pipe()
        self._unread = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    def start(self, contestant: Contestant, module: str, order: Order) -> psutil.Popen:
        """Start a process.

        Args:
            contestant: Contestant whose environment and options it uses.
            module: Module in `benchmarks.contestants` to run.
            order: Role and parameters of the process.

        Returns:
            The process.

        Raises:
            ContestantError: The environment cannot be created.
        """
        try:
            python = environments.python(contestant.environment, contestant.requirements)
        except subprocess.CalledProcessError as error:
            raise ContestantError(self._name, f"{error}") from error
        order = replace(
            order, pipe=self._write_end, options=contestant.options, uvloop=contestant.uvloop
        )
        process = psutil.Popen(
            [str(python), "-m", f"benchmarks.contestants.{module}", order.to_json()],
            cwd=environments.ROOT,
            pass_fds=[self._write_end],
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def report(self, timeout: float = REPORT_TIMEOUT) -> Report:
        """Wait for the next report.

        Args:
            timeout: Seconds to wait.

        Returns:
            The report.

        Raises:
            ContestantError: No report arrived in time, or all processes exited.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._read_end], [], [], _CHECK_INTERVAL)
            if ready:
                self._unread += os.read(self._read_end, 65536)
            elif time.monotonic() > deadline or not self._alive():
                raise ContestantError(self._name, self.stderr())
        line, _, self._unread = self._unread.partition(b"\n")
        pid, value, at_ns = map(int, line.split())
        return Report(pid, value, at_ns / 1e9)

    def _alive(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def stderr(self) -> str:
        """Return the standard error of the processes so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def cpu(self) -> float:
        """Return the CPU seconds used so far by the running processes."""
        return sum(_cpu(process) for process in self._processes if process.is_running())

    def rss(self) -> int:
        """Return the resident memory of the processes, in bytes."""
        return sum(int(process.memory_info().rss) for process in self._processes)

    def close(self) -> None:
        """Kill the processes and close the pipe."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(self._read_end)
        os.close(self._write_end)
        self._stderr.close()


class Arena:
    """Runs contestants one at a time, each on an empty server.

    Args:
        server: The Redis server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    def order(self, contestant: Contestant, **overrides: Any) -> Order:
        """Make an order to run a worker.

        Args:
            contestant: Contestant to run.
            overrides: Fields that differ from the contestant's best setting.

        Returns:
            The order.
        """
        order = Order("work", self.server.url, concurrency=contestant.concurrency)
        return replace(order, **overrides)

    @contextlib.contextmanager
    def team(self, contestant: Contestant) -> Iterator[Team]:
        """Flush the server, and provide a team that is closed after the block.

        Args:
            contestant: Contestant of the team.

        Returns:
            A context manager with the team.
        """
        self.server.flush()
        team = Team(contestant.name)
        try:
            yield team
        finally:
            team.close()

    def produce(self, contestant: Contestant, order: Order) -> None:
        """Run a producer until all jobs are enqueued.

        Args:
            contestant: Contestant whose producer runs.
            order: Order of the producer.

        Raises:
            ContestantError: The producer failed.
        """
        team = Team(contestant.name)
        try:
            module = contestant.producer or contestant.module
            process = team.start(contestant, module, order)
            if process.wait() != 0:
                raise ContestantError(contestant.name, team.stderr())
        finally:
            team.close()

    def drain(
        self,
        contestant: Contestant,
        count: int,
        *,
        processes: int = 1,
        deferred: int = 0,
        **overrides: Any,
    ) -> Run:
        """Fill the queue, then start workers and time them.

        Args:
            contestant: Contestant to run.
            count: Number of jobs to time.
            processes: Number of worker processes.
            deferred: Number of deferred jobs that are also in the queue.
            overrides: Fields of the order.

        Returns:
            The figures.
        """
        order = self.order(contestant, every=max(count // REPORTS, 1), **overrides)
        with self.team(contestant) as team:
            if deferred:
                self.produce(contestant, replace(order, role="defer", count=deferred))
            self.produce(contestant, replace(order, role="produce", count=count + _surplus(count)))
            for _ in range(processes):
                team.start(contestant, contestant.module, order)
            return self._timed(team, count - 1, order.every, processes)

    def live(self, contestant: Contestant, count: int, **overrides: Any) -> Run:
        """Enqueue jobs while a worker runs them.

        Args:
            contestant: Contestant to run.
            count: Number of jobs to time.
            overrides: Fields of the order.

        Returns:
            The figures.
        """
        order = self.order(contestant, every=max(count // REPORTS, 1), **overrides)
        with self.team(contestant) as team:
            self.warm_up(team, contestant, order)
            module = contestant.producer or contestant.module
            producer_order = replace(order, role="produce", count=count + _surplus(count))
            producer = Team(contestant.name)
            try:
                producer.start(contestant, module, producer_order)
                return self._timed(team, count, order.every)
            finally:
                producer.close()

    def enqueue(self, contestant: Contestant, count: int) -> Run:
        """Time a producer.

        Args:
            contestant: Contestant whose producer runs.
            count: Number of jobs to enqueue.

        Returns:
            The figures; `worker_us` is the producer's.
        """
        order = self.order(contestant, role="produce", count=count)
        with self.team(contestant) as team:
            team.start(contestant, contestant.producer or contestant.module, order)
            first = self.reading(team, team.report())
            return self.reading(team, team.report()).run_since(first)

    def ping(self, contestant: Contestant, pings: int, seed: int) -> list[float]:
        """Measure the latency of single jobs, enqueued at random intervals.

        Args:
            contestant: Contestant to run.
            pings: Number of jobs.
            seed: Seed of the intervals.

        Returns:
            Milliseconds from enqueue to start, per job.
        """
        order = self.order(contestant, concurrency=10)
        with self.team(contestant) as team:
            self.warm_up(team, contestant, order)
            ping_order = replace(order, role="ping", job="stamp", count=pings, seed=seed)
            self.produce(contestant, ping_order)
            return [team.report().value / 1e6 for _ in range(pings)]

    def warm_up(self, team: Team, contestant: Contestant, order: Order) -> None:
        """Start a worker and wait until it has run a first job.

        Args:
            team: Team of the worker.
            contestant: Contestant to run.
            order: Order of the worker.
        """
        team.start(contestant, contestant.module, order)
        self.produce(contestant, replace(order, role="produce", job="noop", count=1))
        team.report()

    def reading(self, team: Team, report: Report, jobs: int | None = None) -> Reading:
        """Read the state of a team.

        Args:
            team: The team.
            report: Its latest report.
            jobs: Jobs done so far; None means the value of the report.

        Returns:
            The reading.
        """
        done = report.value if jobs is None else jobs
        return Reading(done, report.at, team.cpu(), self.server.cpu())

    def _timed(self, team: Team, last: int, every: int, processes: int = 1) -> Run:
        """Time a run from the first report of the last process until job number `last` is done.

        Each process reports every `every` jobs, so the end is accurate to that number.
        """
        done: dict[int, int] = {}
        while len(done) < processes:
            report = team.report()
            done[report.pid] = report.value
        first = self.reading(team, report, sum(done.values()))
        while sum(done.values()) <= last - every * processes:
            report = team.report()
            done[report.pid] = report.value
        return self.reading(team, report, sum(done.values())).run_since(first)


def _surplus(count: int) -> int:
    """Return the number of additional jobs that are not timed.

    The clock stops while jobs are still running, so that batching gains no advantage at the end.
    """
    return max(count // 20, 5)


def _cpu(process: psutil.Popen) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        family: Sequence[psutil.Process] = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:2]) for member in family)
    return 0.0
