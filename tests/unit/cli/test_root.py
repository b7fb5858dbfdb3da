"""The `ringline` command: help, argument parsing, and one-line errors."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.cli import COMMANDS, main
from jobs.cli.commands.enqueue import keyword, value
from jobs.cli.errors import as_click_error
from jobs.cli.output import printable
from jobs.cli.params import DURATION
from jobs.engine import deserialize, job, serialize
from jobs.engine.definition.job import definition_of
from jobs.errors import ConflictError, NotFoundError, ServerError, UsageError
from jobs.settings import SettingsError


def test_help_lists_all_commands_without_importing_them() -> None:
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


@pytest.mark.parametrize("arguments", [[], ["failed"]])
def test_group_without_a_command_prints_its_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ringline")
    assert result.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: ringline {name}")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["no-such"], "ringline: No such command 'no-such'.\n"),
        (["wroker", "all"], "ringline: No such command 'wroker'. Did you mean 'worker'?\n"),
        (["--no-such"], "ringline: No such option '--no-such'.\n"),
        (["enqueue"], "ringline: Missing argument 'NAME'.\n"),
        (["demo", "--leads", "none"], "ringline: Invalid value for '--leads'"),
        (["enqueue", "lead.qualify", "--kw", "x"], "ringline: --kw 'x' is not KEY=VALUE\n"),
        (
            ["enqueue", "lead.qualfy"],
            "ringline: unknown job 'lead.qualfy': did you mean lead.q",
        ),
        (["enqueue", "default.scripted_"], "ringline: unknown job 'default.scripted_'"),
        (["enqueue", "campaign.tick", "1"], "ringline: campaign.tick: argument 1: Unexpected"),
        (
            ["enqueue", "lead.qualify", "7", "x"],
            "ringline: lead.qualify: lead_ids: UUID input should",
        ),
        (
            ["enqueue", "default.ping", "\udcff"],
            "ringline: default.ping: argument 1 cannot be se",
        ),
        (
            ["enqueue", "default.ping", "ok", '["\\ud800"]'],
            "ringline: default.ping: argument 2 ",
        ),
        (
            ["enqueue", "default.ping", "--kw", f"x={2**64}"],
            "ringline: default.ping: argument x cannot",
        ),
        (["worker", "no_such_tasks"], "ringline: unknown queue 'no_such_tasks': known queues are "),
        (
            ["worker", "..x.Y"],
            "ringline: ..x.Y is a relative path: write it in full, such as my_p",
        ),
        (
            ["worker", "default", "--lease", "nan"],
            "ringline: Invalid value for '--lease': nan is not a n",
        ),
        (
            ["worker", "default", "--lease", "inf"],
            "ringline: Invalid value for '--lease': inf is not",
        ),
        (
            ["worker", "default", "--lease", "1e300"],
            "ringline: Invalid value for '--lease': 1e+300 is",
        ),
        (["demo", "--rate", "nan"], "ringline: Invalid value for '--rate': nan is not a number"),
        (["failed", "discard"], "ringline: pass job ids, a filter such as --error, or --all"),
    ],
)
def test_wrong_usage_prints_one_line_and_exits_with_2(arguments: list[str], line: str) -> None:
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
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "no"), r"'a\udcff' is not UTF-8 text", 2),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "(internal error: see the traceback", 1),
        (KeyError("x"), "KeyError: 'x' (internal error: see", 1),
    ],
)
def test_error_becomes_one_line(error: Exception, line: str, code: int) -> None:
    shown = as_click_error(error)
    assert line in shown.format_message()
    assert "\n" not in shown.format_message()
    assert shown.exit_code == code


def test_debug_prints_the_traceback() -> None:
    result = CliRunner().invoke(main, ["--debug", "enqueue", "lead.+14155550123"])
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("Traceback")
    assert last.startswith("ringline: unknown job")
    assert "4155550123" not in result.stderr
    assert result.exit_code == 2


def test_argument_is_json_or_text() -> None:
    assert [value(text) for text in ("5", "true", "[1]", '"5"', "hello")] == [
        5,
        True,
        [1],
        "5",
        "hello",
    ]
    assert keyword("temperature=hot") == ("temperature", "hot")


@job("tests.measure")
async def measure(ctx: object, amount: float) -> None: ...


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_non_finite_number_arrives_as_a_float(text: str) -> None:
    sent = deserialize(serialize([value(text)]))
    definition = definition_of(measure)
    assert definition is not None
    (arrived,), _ = definition.check(sent, {})
    assert repr(arrived) == repr(float(text))


def test_json_with_a_non_finite_number_is_text() -> None:
    assert value('{"a": [1, NaN]}') == '{"a": [1, NaN]}'


def test_error_escapes_control_characters() -> None:
    result = CliRunner().invoke(main, ["chaos", "--json", "no\x1b]0;such\x07/folder\x9b/x"])
    assert result.stderr.startswith(r"ringline: no\x1b]0;such\x07/folder\x9b/x: folder no")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("4h", 14400), ("2d", 172800)]
)
def test_duration_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None).total_seconds() == seconds


def test_duration_without_a_number_is_rejected() -> None:
    with pytest.raises(click.BadParameter, match="'soon' is not a duration"):
        DURATION.convert("soon", None, None)


def test_printable_escapes_control_characters() -> None:
    assert printable("a\x1b[2J\r\x7f\x9b\0") == r"a\x1b[2J\x0d\x7f\x9b\x00"
    assert printable("Zoë\n\t“1 €”") == "Zoë\n\t“1 €”"
