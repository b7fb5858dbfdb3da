"""Smoke test of the benchmarks, with counts too small to measure speed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_benchmark_runs_and_writes_its_results(tmp_path: Path) -> None:
    """Only the contestants that run in this environment take part."""
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--scale", "0.01"]
    command += ["--json", str(found), "--only", "ours,bare_loop"]
    measured = ["live", "latency"]
    done = subprocess.run(  # noqa: S603  # the project's own command
        [*command, *measured], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    raw = json.loads(found.read_text())
    assert list(raw) == ["contestants", *measured]
    (runs,) = raw["live"].values()
    assert set(runs) == {"ours", "bare loop"}
    assert all(rounds[0]["per_s"] > 0 for rounds in runs.values())
    (waits,) = raw["latency"].values()
    assert set(waits) == {"ours", "ours, enqueued by arq"}
    assert all(wait > 0 for wait in waits["ours"])
    assert "| bare loop |" in done.stdout
