"""The `ringline` command: what it offers, and how anything that goes wrong becomes one line, in which
personal data and the passwords of URLs are masked.

A command's module is imported when the command is used, so `ringline --help` stays quick.
Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage, 130 interrupted.
"""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from jobs.cli.printable import printable
from jobs.privacy.masking import mask_text

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("jobs.cli.demo", "Run a whole campaign, end to end, and check the books."),
    "chaos": ("jobs.cli.chaos", "Run a campaign while everything fails, and check the books."),
    "worker": ("jobs.cli.worker", "Run the jobs of some queues."),
    "up": ("jobs.cli.servers", "Start the embedded servers of this folder."),
    "down": ("jobs.cli.servers", "Stop the embedded servers of this folder."),
    "migrate": ("jobs.cli.migrate", "Bring the database to the newest schema."),
    "enqueue": ("jobs.cli.enqueue", "Enqueue one job."),
    "status": ("jobs.cli.status", "Show each queue's length, rates and times."),
    "failed": ("jobs.cli.dead_letters", "List, show, retry or discard dead letters."),
    "schedule": ("jobs.cli.schedule", "Show the crons and when each runs next."),
    "lead": ("jobs.cli.lead", "Import leads."),
    "campaign": ("jobs.cli.campaign", "Create, start, pause, resume, cancel or show a campaign."),
    "report": ("jobs.cli.report", "Write a campaign's report: JSON, CSV and HTML."),
    "reconcile": ("jobs.cli.reconcile", "Find lost callbacks, answers and jobs now."),
}


class Commands(click.Group):
    """A group that imports a command's module only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

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
                click.echo(printable(mask_text(traceback.format_exc())), err=True, nl=False)
            raise as_click_error(error) from error

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """As click's, but each error is a single line."""
        try:
            status = super().main(args, "ringline", standalone_mode=False, obj=extra.get("obj"))
        except click.ClickException as error:
            click.echo(f"ringline: {printable(mask_text(error.format_message()))}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("ringline: interrupted", err=True)
            sys.exit(130)
        sys.exit(status if isinstance(status, int) else 0)


@click.command(cls=Commands)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="ringline", prog_name="ringline")
def main(debug: bool) -> None:
    """Ringline: background jobs for outbound calling.

    Without REDIS_URL and DATABASE_URL, a command uses the embedded servers of this folder.
    """
