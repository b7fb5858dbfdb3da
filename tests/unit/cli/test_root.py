"""The command's root: quick, and with one line for whatever goes wrong."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.cli import COMMANDS, main
from jobs.cli.duration import DURATION
from jobs.cli.enqueue import keyword, value
from jobs.cli.failure import as_click_error
from jobs.errors import ConflictError, NotFoundError, ServerError, UsageError
from settings import SettingsError


def test_help_lists_the_commands_without_importing_them() -> None:
    code = (
        "import sys; from jobs.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'sqlalchemy', 'redis', 'pydantic', 'arq', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for name, (_, summary) in COMMANDS.items():
        assert name in shown
        assert summary in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: jobs {name}")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["no-such"], "jobs: No such command 'no-such'.\n"),
        (["--no-such"], "jobs: No such option '--no-such'.\n"),
        (["enqueue"], "jobs: Missing argument 'NAME'.\n"),
        (["demo", "--leads", "none"], "jobs: Invalid value for '--leads'"),
        (["enqueue", "lead.qualify", "--kw", "x"], "jobs: --kw 'x' is not KEY=VALUE\n"),
        (["enqueue", "lead.qualfy"], "jobs: no job is called 'lead.qualfy': did you mean lead.q"),
        (["enqueue", "campaign.tick", "1"], "jobs: campaign.tick: argument 1: Unexpected"),
        (["enqueue", "lead.qualify", "7", "x"], "jobs: lead.qualify: lead_ids: UUID input should"),
        (["worker", "no_such_tasks"], "jobs: no queue is called 'no_such_tasks': there are "),
        (["failed", "discard"], "jobs: name the ids of jobs, or a filter such as --error, or "),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (UsageError("two crons"), "two crons", 2),
        (SettingsError("LOG_LEVEL: bad"), "LOG_LEVEL: bad", 2),
        (ServerError("no server"), "no server", 1),
        (ConflictError("running"), "running", 1),
        (NotFoundError("lead", 7), "lead 7 does not exist", 1),
        (RedisConnectionError("gone\naway"), "Redis: gone away", 1),
        (ExceptionGroup("two", [ServerError("one"), ServerError("other")]), "one", 1),
        (PermissionError(13, "Permission denied", "out"), "Permission denied: 'out'", 1),
        (KeyError("x"), "KeyError: 'x' (a defect; `jobs --debug", 1),
    ],
)
def test_an_error_becomes_one_line(error: Exception, line: str, code: int) -> None:
    shown = as_click_error(error)
    assert line in shown.format_message()
    assert "\n" not in shown.format_message()
    assert shown.exit_code == code


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(main, ["--debug", "enqueue", "lead.+14155550123"])
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("Traceback")
    assert last.startswith("jobs: no job is called")
    assert "4155550123" not in result.stderr
    assert result.exit_code == 2


def test_arguments_are_json_or_text() -> None:
    assert [value(text) for text in ("5", "true", "[1]", '"5"', "hello")] == [
        5,
        True,
        [1],
        "5",
        "hello",
    ]
    assert keyword("temperature=hot") == ("temperature", "hot")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("4h", 14400), ("2d", 172800)]
)
def test_spans_of_time(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None).total_seconds() == seconds


def test_a_span_without_a_number_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'soon' is not a span of time"):
        DURATION.convert("soon", None, None)
