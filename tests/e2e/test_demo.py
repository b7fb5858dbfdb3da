"""`ringline demo` as a process, on temporary databases."""

import asyncio
import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from jobs import embedded
from jobs.analytics.model import Report
from jobs.embedded import databases
from jobs.testing import wait_until

SLICE = Path(__file__).parents[1] / "data" / "recorded.csv"
COMMAND = Path(sys.executable).parent / "ringline"
TIMEOUT = 120

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc to find the workers"
)


@contextmanager
def demo(
    servers: embedded.Servers, folder: Path, *options: str
) -> Iterator["subprocess.Popen[str]"]:
    """Run `ringline demo` as a process; kill it after the block."""
    environment = os.environ | {
        "REDIS_URL": servers.redis_url,
        "DATABASE_URL": servers.database_url,
    }
    process = subprocess.Popen(  # noqa: S603  # the project's own command
        [str(COMMAND), "demo", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(servers: embedded.Servers, folder: Path, *options: str) -> tuple[int, str, str]:
    """Run a demo to its end; return the exit code, stdout and stderr."""
    with demo(servers, folder, *options) as process:
        printed, errors = process.communicate(timeout=TIMEOUT)
        return process.returncode, printed, errors


def report_in(path: Path) -> Report:
    return Report.model_validate_json(path.read_text())


def test_demo_calls_synthetic_leads_and_all_invariants_hold(
    embedded_servers: embedded.Servers, tmp_path: Path
) -> None:
    options = ("--leads", "60", "--rate", "2400", "--json", "report.json")
    code, printed, errors = run(embedded_servers, tmp_path, *options)
    assert (code, errors) == (0, ""), printed
    assert "VIOLATED" not in printed
    assert "all invariants hold" in printed
    report = report_in(tmp_path / "report.json")
    assert report.totals.leads == 60
    assert report.totals.sums.attempts == report.totals.ended >= 60
    out = tmp_path / "out" / "demo"
    assert {"report.json", "report.html", "metrics.csv"} <= {path.name for path in out.iterdir()}
    with (out / "rejects.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 1


def test_demo_reproduces_a_recorded_campaign_exactly(
    embedded_servers: embedded.Servers, tmp_path: Path
) -> None:
    options = ("--dataset", str(SLICE), "--json", "report.json")
    code, printed, errors = run(embedded_servers, tmp_path, *options)
    assert (code, errors) == (0, ""), printed
    assert "VIOLATED" not in printed
    assert "all invariants hold" in printed
    report = report_in(tmp_path / "report.json")
    sums = report.totals.sums
    assert (report.totals.leads, sums.attempts) == (60, 117)
    assert (sums.conversions, sums.seconds) == (15, 25_612)
    with SLICE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    for column in rows[0].keys() - {"duration", "campaign", "y"}:
        for value in report.breakdowns[column]:
            of_value = [row for row in rows if row[column] == value.value]
            assert value.leads == len(of_value), (column, value)
            assert value.attempts == sum(int(row["campaign"]) for row in of_value)
            assert value.conversions == sum(row["y"] == "yes" for row in of_value)
            assert value.seconds == sum(int(row["duration"]) for row in of_value)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment variables of a process."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


@needs_proc
async def test_demo_survives_a_killed_worker(
    embedded_servers: embedded.Servers, tmp_path: Path
) -> None:
    with demo(embedded_servers, tmp_path, "--leads", "300", "--json", "report.json") as process:
        log = tmp_path / "out" / "demo" / "workers.log"
        await wait_until(
            lambda: log.exists() and '"call.dispatch"' in log.read_text(), timeout=TIMEOUT
        )
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        printed, errors = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, ""), printed
    assert "SIGKILL" in log.read_text()
    assert "VIOLATED" not in printed
    assert "all invariants hold" in printed
    assert report_in(tmp_path / "report.json").totals.leads == 300


@needs_proc
async def test_interrupted_demo_removes_its_databases_and_workers(
    embedded_servers: embedded.Servers, tmp_path: Path
) -> None:
    with demo(embedded_servers, tmp_path, "--leads", "500") as process:
        log = tmp_path / "out" / "demo" / "workers.log"
        await wait_until(
            lambda: log.exists() and '"lead.import"' in log.read_text(), timeout=TIMEOUT
        )
        workers = children_of(process.pid)
        own = environment_of(workers[0])
        name = urlsplit(own["DATABASE_URL"]).path.removeprefix("/")
        assert await databases.exists(embedded_servers.database_url, name)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(process.communicate, timeout=TIMEOUT)
    assert process.returncode == 130
    assert errors.strip() == "ringline: interrupted"
    assert not await databases.exists(embedded_servers.database_url, name)
    with Redis.from_url(own["REDIS_URL"]) as database:
        assert database.dbsize() == 0
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file: check the path"),
        ("", "the file is empty"),
        ("age;job\n30;pilot\n", "no column campaign, duration, y"),
    ],
)
def test_bad_dataset_is_reported_in_one_line(
    embedded_servers: embedded.Servers, tmp_path: Path, content: str | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "data.csv").write_text(content)
    code, _, errors = run(embedded_servers, tmp_path, "--dataset", "data.csv")
    assert code in (1, 2)
    assert errors.startswith("ringline: data.csv: ")
    assert complaint in errors
    assert errors.count("\n") == 1
