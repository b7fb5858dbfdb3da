"""The commands, run in this process on test servers."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from jobs.cli import main
from jobs.default import WorkerSettings
from jobs.default.scripted import ScriptedSettings
from jobs.engine.bootstrap.workers import create_worker, serve
from jobs.engine.connection.urls import Address
from jobs.settings import get_settings

Command = Callable[..., Result]

HEADER = "phone,name,email\n"
GOOD = "+1 212 555 0101,Ann Example,ann@example.com\n+1 312 555 0102,Ben Example,\n"
BROKEN = "12,Too Short,\n+1 212 555 0103,Bad Address,nobody\n"


@pytest.fixture
def jobs(
    redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Command]:
    """Run `ringline` commands in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TASK_DEFAULT_RETRY_DELAY", "0")
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(main, arguments)
    get_settings.cache_clear()


def run_jobs(redis_url: str) -> None:
    """Run all jobs of the default queue."""

    async def burst() -> None:
        redis = Address.of(redis_url).arq_settings()
        await serve(
            create_worker(WorkerSettings, ScriptedSettings, redis_settings=redis, burst=True)
        )

    asyncio.run(burst())


def error_line(result: Result) -> str:
    """Return the only line that a failed command prints."""
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


def test_import_adds_the_good_rows_once(jobs: Command, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(HEADER + GOOD + BROKEN)
    result = jobs("lead", "import", str(path))
    assert result.exit_code == 0, result.stderr
    assert "4 rows: 2 added, 0 duplicates, 2 rejected" in result.stdout
    rejects = (tmp_path / "people.rejects.csv").read_text().splitlines()
    assert rejects[0] == "line,column,value,reason"
    assert rejects[1].startswith("4,phone,12,")
    assert rejects[2].startswith("5,email,nobody,")
    again = jobs("lead", "import", str(path), "--rejects", "elsewhere.csv")
    assert "4 rows: 0 added, 2 duplicates, 2 rejected" in again.stdout
    assert (tmp_path / "elsewhere.csv").read_text().splitlines() == rejects


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a UTF-8 text file"),
        (b"phone:name\n+12125550101:Ann\n", "no column for the phone number"),
    ],
)
def test_import_reports_an_unreadable_file_in_one_line(
    jobs: Command, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    result = jobs("lead", "import", str(path))
    assert result.exit_code == 1
    assert error_line(result).startswith(f"ringline: {path}: ")
    assert complaint in error_line(result)


def test_campaign_is_created_controlled_and_shown(jobs: Command, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(HEADER + GOOD)
    jobs("lead", "import", str(path))
    created = jobs("campaign", "create", "spring")
    assert created.exit_code == 0, created.stderr
    assert created.stdout.endswith("spring: draft, 2 leads enrolled\n")
    twice = jobs("campaign", "create", "spring")
    assert twice.exit_code == 1
    assert "spring" in error_line(twice)
    for action, status in (("start", "running"), ("pause", "paused"), ("resume", "running")):
        assert jobs("campaign", action, "spring").stdout.endswith(f"spring: {status}\n")
    assert jobs("campaign", "cancel", created.stdout.split()[0]).stdout.endswith("canceled\n")
    refused = jobs("campaign", "start", "spring")
    assert refused.exit_code == 1
    assert "canceled" in error_line(refused)
    shown = json.loads(jobs("campaign", "show", "spring", "--json").stdout)
    assert shown["status"] == "canceled"
    assert shown["enrolments"] == {"removed": 2}
    assert "2 removed" in jobs("campaign", "show", "spring").stdout
    assert (
        error_line(jobs("campaign", "show", "autumn")) == "ringline: campaign autumn does not exist"
    )


def test_bad_policy_field_is_named(jobs: Command, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"caps": {"max_attempts": 0}}')
    result = jobs("campaign", "create", "spring", "--policy", str(policy))
    assert result.exit_code == 2
    assert "caps.max_attempts" in error_line(result)
    policy.write_text('{"caps": {"max_attempts": 1}}')
    jobs("campaign", "create", "spring", "--policy", str(policy))
    shown = json.loads(jobs("campaign", "show", "spring", "--json").stdout)
    assert shown["policy"]["caps"]["max_attempts"] == 1


def test_dead_letters_are_listed_shown_retried_and_discarded(jobs: Command, redis_url: str) -> None:
    jobs("enqueue", "default.scripted", "fail:ValidationError", "--id", "one")
    jobs("enqueue", "default.scripted", "fail:ConflictError", "--id", "two")
    run_jobs(redis_url)
    assert "one" in jobs("failed", "list").stdout
    only = jobs("failed", "list", "--error", "ConflictError", "--json").stdout
    assert [json.loads(text)["job_id"] for text in only.splitlines()] == ["two"]
    assert jobs("failed", "list", "--older-than", "1h").stdout == "no dead letters\n"
    newest = jobs("failed", "list", "--newer-than", "1h", "--limit", "1").stdout
    assert newest.endswith("only the newest 1 are listed; for more, use --limit\n")
    shown = jobs("failed", "show", "one").stdout
    assert "ValidationError" in shown
    assert "Traceback" in shown
    assert error_line(jobs("failed", "show", "none")) == "ringline: dead letter none does not exist"
    assert jobs("failed", "retry", "one").stdout == "1 requeued\n"
    run_jobs(redis_url)
    assert jobs("failed", "discard", "--job", "default.scripted").stdout == "2 discarded\n"
    assert jobs("failed", "list").stdout == "no dead letters\n"
    assert jobs("failed", "discard", "one", "--all").exit_code == 2


def test_dead_letter_output_escapes_control_characters(jobs: Command, redis_url: str) -> None:
    jobs("enqueue", "default.scripted", "fail:\x1b]0;owned\x07", "--id", "one")
    run_jobs(redis_url)
    for words in (["show", "one"], ["list"], ["groups"]):
        shown = jobs("failed", *words).stdout
        assert r"\x1b]0;owned\x07" in shown
        assert not {"\x1b", "\x07"} & set(shown)


def test_dead_letters_are_grouped_by_fingerprint(jobs: Command, redis_url: str) -> None:
    for number in range(3):
        jobs("enqueue", "default.scripted", "fail:ConflictError", "--id", f"same-{number}")
    jobs("enqueue", "default.scripted", "fail:ValidationError", "--id", "other")
    run_jobs(redis_url)
    groups = [json.loads(text) for text in jobs("failed", "groups", "--json").stdout.splitlines()]
    assert [group["count"] for group in groups] == [3, 1]
    same, other = groups
    assert same["first_failed_at"] <= same["last_failed_at"]
    assert other["example"]["job_id"] == "other"
    text = jobs("failed", "groups").stdout
    assert same["fingerprint"] in text
    assert "ConflictError" in text
    assert jobs("failed", "retry", "--fingerprint", same["fingerprint"]).stdout == "3 requeued\n"
    left = jobs("failed", "list", "--fingerprint", other["fingerprint"], "--json").stdout
    assert json.loads(left)["job_id"] == "other"
    assert jobs("failed", "groups", "--error", "ConflictError").stdout == "no dead letters\n"


def test_retry_keeps_the_dead_letter_of_a_job_that_is_queued_again(
    jobs: Command, redis_url: str
) -> None:
    jobs("enqueue", "default.scripted", "fail:ValidationError", "--id", "one")
    run_jobs(redis_url)
    with Redis.from_url(redis_url) as redis:
        redis.delete("arq:result:one")  # as if its retention had passed
    jobs("enqueue", "default.scripted", "--id", "one")
    refused = jobs("failed", "retry", "one")
    assert refused.exit_code == 1
    assert (
        error_line(refused)
        == "ringline: job one is queued or running again: its dead letter is kept"
    )
    assert jobs("failed", "discard", "one").stdout == "1 discarded\n"


def test_status_shows_the_statistics_of_each_queue(jobs: Command, redis_url: str) -> None:
    for _ in range(3):
        jobs("enqueue", "default.ping")
    jobs("enqueue", "default.scripted", "fail:ValidationError")

    def default() -> dict[str, object]:
        queues = json.loads(jobs("status", "--json").stdout)["queues"]
        assert len(queues) == 5
        found: dict[str, object] = next(one for one in queues if one["queue"] == "default")
        return found

    before = default()
    assert (before["waiting"], before["scheduled"], before["success_rate"]) == (4, 0, None)
    run_jobs(redis_url)
    jobs("enqueue", "default.ping", "--defer-by", "1h")
    after = default()
    assert (after["waiting"], after["scheduled"], after["done"], after["dead"]) == (0, 1, 3, 1)
    assert after["success_rate"] == 0.75
    assert after["error_rate"] == 0.25
    text = jobs("status").stdout
    assert "75.0%" in text
    assert "dead letters: 1" in text


def test_job_id_in_use_is_rejected(jobs: Command) -> None:
    assert jobs("enqueue", "default.ping", "--id", "one").stdout == "one\n"
    again = jobs("enqueue", "default.ping", "--id", "one")
    assert again.exit_code == 2
    assert "one" in error_line(again)


def test_undecodable_job_id_is_rejected(jobs: Command) -> None:
    for words in (["enqueue", "default.ping", "--id"], ["failed", "show"], ["failed", "retry"]):
        result = jobs(*words, "a\udcff")
        assert result.exit_code == 2
        assert r"a\udcff' is not UTF-8 text" in error_line(result)


def test_reconcile_enqueues_the_job_of_every_schedule(jobs: Command, redis_url: str) -> None:
    scheduled = {
        json.loads(text)["name"].removeprefix("cron:")
        for text in jobs("schedule", "--json").stdout.splitlines()
    }
    result = jobs("reconcile")
    assert result.exit_code == 0, result.stderr
    assert set(result.stdout.removeprefix("enqueued ").strip().split(", ")) == scheduled
    assert {"campaign.tick", "call.reconcile", "default.relay_outbox"} < scheduled
    queues = json.loads(jobs("status", "--json").stdout)["queues"]
    assert sum(one["waiting"] for one in queues) == len(scheduled)


def test_schedule_lists_crons_by_next_fire_time(jobs: Command) -> None:
    entries = [json.loads(text) for text in jobs("schedule", "--json").stdout.splitlines()]
    names = {entry["name"] for entry in entries}
    assert {"cron:campaign.tick", "cron:lead.qualify_pending", "cron:analytics.rollup"} <= names
    assert entries == sorted(entries, key=lambda entry: entry["next_run"])
    assert "cron:campaign.tick" in jobs("schedule").stdout


def test_second_migration_changes_nothing(jobs: Command) -> None:
    first, second = jobs("migrate"), jobs("migrate")
    assert first.exit_code == 0
    assert first.stdout == second.stdout


def test_unreachable_server_is_reported_in_one_line(
    jobs: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql:///none?host={tmp_path}")
    get_settings.cache_clear()
    result = jobs("migrate")
    assert result.exit_code == 1
    assert "PostgreSQL" in error_line(result)
