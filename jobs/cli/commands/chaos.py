"""`ringline chaos`: does a campaign come right, whatever goes wrong?"""

from pathlib import Path

import click

from jobs.chaos.console import Display, print_report, print_schedule
from jobs.chaos.run import play
from jobs.chaos.schedule import WORKERS, plan
from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.errors import UsageError


@click.command()
@click.option("--minutes", type=float, default=3, show_default=True, help="Of faults.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of faults, leads and calls.")
@click.option("--flush", is_flag=True, help="Have all of Redis flushed now and then, too.")
@click.option("--dry-run", is_flag=True, help="Show the schedule of faults only.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="The report's JSON"
)
@click.option(
    "--log", type=click.Path(path_type=Path, dir_okay=False), help="A file for the workers' logs."
)
def chaos(
    minutes: float,
    seed: int,
    flush: bool,
    dry_run: bool,
    json_file: Path | None,
    log: Path | None,
) -> None:
    """Run a campaign while workers, servers, networks and the provider fail; check the books.

    On a Redis and a PostgreSQL of its own, which are gone when it ends. Nobody is called. The same
    seed gives the same faults. Exit code 1 if the books do not balance.
    """
    schedule = plan(seed, minutes, flush=flush)
    for file in (json_file, log):
        if file is not None and not file.parent.is_dir():
            raise UsageError(f"{file}: there is no folder {file.parent}")
    if dry_run:
        print_schedule(CONSOLE, schedule)
        return
    CONSOLE.print(
        f"{len(schedule.faults)} faults in {schedule.seconds:g} s, seed {seed}, "
        f"{WORKERS} worker processes",
        highlight=False,
    )
    report = interruptible.run(play(schedule, Display(CONSOLE), log))
    print_report(CONSOLE, report)
    if json_file is not None:
        json_file.write_bytes(report.as_json())
    if not report.balances:
        raise click.ClickException("the books do not balance")
