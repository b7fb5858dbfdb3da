"""Command-line interface: the `ringline` command.

`commands`       the command modules
`resources`      Redis pools, stores and worker settings shared by the commands
`params`         parameter types: durations, finite numbers
`output`         consoles, escaping of control characters
`errors`         exceptions as one-line errors with an exit code
`interruptible`  long runs that stop cleanly on a signal

A command's module is imported when the command is used, so `ringline --help` stays fast.
Every error is one line on stderr, with personal data and passwords masked.
Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
"""

import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, NoReturn

import click

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "Run a whole simulated campaign and check its invariants."),
    "chaos": ("chaos", "Run a campaign under injected faults and check its invariants."),
    "worker": ("worker", "Run the jobs of one or more queues."),
    "up": ("servers", "Start this folder's embedded servers."),
    "down": ("servers", "Stop this folder's embedded servers."),
    "migrate": ("migrate", "Migrate the database to the latest schema."),
    "enqueue": ("enqueue", "Enqueue a job."),
    "status": ("status", "Show the length, rates and latencies of each queue."),
    "failed": ("dead_letters", "List, show, retry or discard dead letters."),
    "schedule": ("schedule", "Show cron schedules and their next fire times."),
    "lead": ("lead", "Import leads."),
    "campaign": ("campaign", "Create, start, pause, resume, cancel or show a campaign."),
    "report": ("report", "Write a campaign's report as JSON, CSV and HTML."),
    "reconcile": ("reconcile", "Recover lost callbacks, provider responses and jobs now."),
}
"""Name of each command: its module in `jobs.cli.commands`, and its line in `ringline --help`."""


class LazyGroup(click.Group):
    """Command group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"jobs.cli.commands.{module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Click suggests only commands that are already loaded.
        if args[0] not in COMMANDS and (near := get_close_matches(args[0], COMMANDS, n=1)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            from jobs.cli.errors import as_click_error

            if ctx.params["debug"]:
                click.echo(_safe(traceback.format_exc()), err=True, nl=False)
            raise as_click_error(error) from error

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command and exit. Print an error as one line."""
        try:
            status = super().main(args, "ringline", standalone_mode=False, obj=extra.get("obj"))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except click.ClickException as error:
            click.echo(f"ringline: {_safe(error.format_message())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("ringline: interrupted", err=True)
            sys.exit(130)
        sys.exit(status if isinstance(status, int) else 0)


def _safe(text: str) -> str:
    """Mask personal data and escape control characters."""
    # Imported here because they are slow to load, and `--help` does not need them.
    from jobs.cli.output import printable
    from jobs.privacy.masking import mask_text

    return printable(mask_text(text))


@click.command(cls=LazyGroup)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="ringline", prog_name="ringline")
def main(debug: bool) -> None:
    """Background jobs for outbound calling.

    Without REDIS_URL and DATABASE_URL, commands use the embedded servers of the current folder.
    """
