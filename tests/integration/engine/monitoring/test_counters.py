"""Counters and log lines of outcomes."""

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from jobs.engine import EngineSettings, job, retry
from jobs.engine.bootstrap.workers import create_worker
from jobs.engine.client.pool import Pool
from jobs.engine.client.pools import create_pool
from jobs.engine.client.request import JobRequest
from jobs.engine.monitoring.counters import (
    QueueStats,
    bucket,
    count_outcome,
    counter_update,
    read_stats,
)
from jobs.engine.monitoring.outcome_log import OutcomeLog, log_outcome, masked_error
from jobs.engine.queue.keys import IN_PROGRESS, counters
from jobs.engine.queue.outcome import Outcome, OutcomeKind

START = datetime(2026, 1, 1, tzinfo=UTC)


def outcome(
    ending: OutcomeKind = OutcomeKind.DONE,
    took: timedelta = timedelta(milliseconds=20),
    queue: str = "lead_tasks",
    error: str | None = None,
) -> Outcome:
    return Outcome(
        job_id="1",
        function="lead.qualify",
        queue=queue,
        kind=ending,
        try_number=2,
        enqueued=START.timestamp(),
        started=START.timestamp(),
        finished=(START + took).timestamp(),
        error=error,
        retry_in=timedelta(seconds=5) if ending is OutcomeKind.RETRIED else None,
    )


async def test_stats_return_the_counted_outcomes(pool: Pool) -> None:
    endings = (
        [OutcomeKind.DONE] * 6
        + [OutcomeKind.RETRIED] * 3
        + [OutcomeKind.DEAD, OutcomeKind.DISCARDED]
    )
    endings += [OutcomeKind.ABORTED, OutcomeKind.RELEASED]
    for counted in [*map(outcome, endings), outcome(queue="call_tasks")]:
        await count_outcome(pool, counted)
    stats = await read_stats(pool, "lead_tasks")
    assert (stats.done, stats.retried, stats.dead, stats.discarded) == (6, 3, 1, 1)
    assert (stats.aborted, stats.released) == (1, 1)
    assert stats.success_rate == 6 / 8
    assert stats.error_rate == 5 / 11
    assert (await read_stats(pool, "call_tasks")).success_rate == 1


@job("stats.robbed", queue="stats_tasks")
@retry()
async def robbed(ctx: dict[str, Any]) -> None:
    """Lose the lease to another worker."""
    await ctx["redis"].set(IN_PROGRESS + ctx["job_id"], "someone:else")


class Settings(EngineSettings):
    queue_name = "stats_tasks"
    functions = (robbed,)


async def test_rejected_completion_is_not_counted(redis_url: str, pool: Pool) -> None:
    await pool.enqueue_job("stats.robbed", _queue_name="stats_tasks")
    worker = create_worker(Settings, redis_pool=await create_pool(redis_url), max_burst_jobs=1)
    worker.burst = True
    await worker.async_run()
    await worker.close()
    stats = await read_stats(pool, "stats_tasks")
    assert (stats.running, stats.done) == (1, 0)


async def test_unused_queue_has_no_ratios(pool: Pool) -> None:
    stats = await read_stats(pool, "lead_tasks")
    assert (stats.length, stats.done) == (0, 0)
    assert stats.success_rate is None
    assert stats.error_rate is None
    assert stats.quantile(0.5) is None


async def test_stats_count_waiting_scheduled_and_running_jobs(pool: Pool) -> None:
    await pool.enqueue_many(
        [JobRequest("x", job_id=f"due-{n}") for n in range(4)]
        + [JobRequest("x", defer_by=60) for _ in range(2)]
    )
    await pool.set(IN_PROGRESS + "due-1", b"1")  # as arq's worker marks a running job
    score = await pool.zscore("default", "due-2")
    assert score is not None
    await pool.zadd("default", {"due-2": -score})  # as `Worker` does
    stats = await read_stats(pool, "default")
    assert (stats.waiting, stats.scheduled, stats.running, stats.length) == (2, 2, 2, 6)


@given(st.lists(st.floats(min_value=1e-5, max_value=3600), min_size=1, max_size=200))
def test_quantiles_are_accurate_to_five_percent(seconds: list[float]) -> None:
    fields = Counter(counter_update("q", OutcomeKind.DONE, s)[2] for s in seconds)
    durations = {int(name[5:]): n for name, n in fields.items() if name.startswith("took:")}
    stats = QueueStats("q", 0, 0, 0, 0, 0, 0, 0, 0, 0, durations)
    ordered = sorted(seconds)
    for q in (0.5, 0.95, 1):
        exact = ordered[max(math.ceil(len(ordered) * q), 1) - 1]
        quantile = stats.quantile(q)
        assert quantile is not None
        assert quantile.total_seconds() == pytest.approx(exact, rel=0.05, abs=1e-6)


def test_quantiles_of_lognormal_durations_are_accurate() -> None:
    source = random.Random(1)
    seconds = [source.lognormvariate(-3, 1) for _ in range(5000)]
    fields = Counter(counter_update("q", OutcomeKind.DONE, s)[2] for s in seconds)
    durations = {int(name[5:]): n for name, n in fields.items() if name.startswith("took:")}
    stats = QueueStats("q", 0, 0, 0, 0, 0, 0, 0, 0, 0, durations)
    exact = quantiles(seconds, n=100)
    for percent in (50, 95, 99):
        quantile = stats.quantile(percent / 100)
        assert quantile is not None
        assert quantile.total_seconds() == pytest.approx(exact[percent - 1], rel=0.06)


def test_negative_duration_counts_as_zero() -> None:
    assert bucket(0) == bucket(-3) == 0


def test_outcome_is_counted_in_the_hash_of_its_queue() -> None:
    name, ending, took = counter_update("b", OutcomeKind.DONE, 0.02)
    assert (name, ending) == (counters("b"), "done")
    assert took == f"took:{bucket(20_000)}"
    assert counter_update("b", OutcomeKind.RELEASED, 0.02)[1:] == ("released", "")


@pytest.mark.parametrize(
    ("ending", "level"),
    [(OutcomeKind.DONE, "info"), (OutcomeKind.RETRIED, "warning"), (OutcomeKind.DEAD, "error")],
)
def test_outcome_is_logged_on_one_line(ending: OutcomeKind, level: str) -> None:
    with capture_logs() as lines:
        log_outcome(outcome(ending, error="RuntimeError: bug"))
    (line,) = lines
    assert line["log_level"] == level
    assert line["event"] == f"job_{ending}"
    assert (line["job"], line["seconds"]) == ("lead.qualify", 0.02)
    assert line["error"] == "RuntimeError: bug"
    assert line.get("retry_in") == (5 if ending is OutcomeKind.RETRIED else None)


def test_lines_per_second_are_limited_for_done_jobs() -> None:
    log = OutcomeLog(lines_a_second=3)
    second = timedelta(seconds=1)
    with capture_logs() as lines:
        for _ in range(10):
            log(outcome(took=second / 2))
        log(outcome(OutcomeKind.DEAD, took=second / 2))
        log(outcome(took=second))
    assert [line["event"] for line in lines] == ["job_done"] * 3 + ["job_dead", "job_done"]
    assert [line.get("unlogged", 0) for line in lines] == [0, 0, 0, 7, 0]


def test_error_is_masked_and_on_one_line() -> None:
    text = masked_error(ValueError("no mail\nfor ada@example.com"))
    assert text.startswith("ValueError: no mail for ")
    assert "ada@example.com" not in text
