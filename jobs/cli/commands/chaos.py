"""`ringline chaos`: run a campaign under injected faults."""

from pathlib import Path

import click

from jobs.chaos.console import Display, print_report, print_schedule
from jobs.chaos.run import play
from jobs.chaos.schedule import WORKERS, plan
from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.errors import UsageError


@click.command()
@click.option(
    "--minutes", type=float, default=3, show_default=True, help="Minutes of injected faults."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Seed of the faults, leads and calls."
)
@click.option("--flush", is_flag=True, help="Also flush all of Redis from time to time.")
@click.option("--dry-run", is_flag=True, help="Print the fault schedule and exit.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write the report to, as JSON.",
)
@click.option(
    "--log", type=click.Path(path_type=Path, dir_okay=False), help="File to write worker logs to."
)
def chaos(
    minutes: float,
    seed: int,
    flush: bool,
    dry_run: bool,
    json_file: Path | None,
    log: Path | None,
) -> None:
    """Run a campaign under injected faults and check its invariants.

    Workers, servers, networks and the simulated voice provider fail while the campaign runs.
    Nobody is called. The run uses temporary Redis and PostgreSQL servers. The same seed gives the
    same faults. The exit code is 1 if an invariant is violated.
    """
    schedule = plan(seed, minutes, flush=flush)
    for file in (json_file, log):
        if file is not None and not file.parent.is_dir():
            raise UsageError(f"{file}: folder {file.parent} does not exist")
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
    if not report.passed:
        raise click.ClickException("some invariants are violated: see VIOLATED above")
    CONSOLE.print("all invariants hold", highlight=False)
