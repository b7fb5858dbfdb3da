"""`ringline demo`: run a whole campaign against a simulated voice provider."""

from pathlib import Path

import click

from jobs.analytics.render import as_json, require_charts
from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.cli.params import Number
from jobs.demo import console
from jobs.demo.run import Options, Result, play
from jobs.demo.scenario import Scenario, replayed, synthetic
from jobs.errors import UsageError
from jobs.settings import get_settings


@click.command()
@click.option(
    "--leads", type=click.IntRange(1), default=2000, show_default=True, help="Synthetic leads."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the leads and calls.")
@click.option(
    "--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes."
)
@click.option(
    "--rate", type=Number(1, 1e6), help="Business seconds per real second.  [default: 600]"
)
@click.option(
    "--dataset",
    type=click.Path(path_type=Path),
    help="Replay a recorded campaign (CSV, plain or gzipped) instead of synthetic leads.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="Folder to write the report to.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write the report to, as JSON.",
)
def demo(
    leads: int,
    seed: int,
    workers: int,
    rate: float | None,
    dataset: Path | None,
    out: Path,
    json_file: Path | None,
) -> None:
    """Run a whole simulated campaign and check its invariants.

    Leads are imported, qualified, tagged, enrolled and dialed under a fast clock. The voice
    provider is simulated: nobody is called. The run uses temporary databases. The exit code is 1
    if an invariant is violated.
    """
    require_charts()  # the report comes last, minutes from here
    _make_folder(out)
    if dataset is None:
        scenario = synthetic(out, leads=leads, seed=seed, rate=rate)
    else:
        scenario = replayed(out, dataset, rate=rate)
    result = _run(scenario, Options(out, workers))
    if json_file is not None:
        json_file.write_text(as_json(result.report), encoding="utf-8")
    _print(result, out)
    if not result.passed:
        raise click.ClickException("some invariants are violated: see VIOLATED above")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}: name another folder with --out") from None


def _run(scenario: Scenario, options: Options) -> Result:
    CONSOLE.print(f"{scenario.title}, {options.workers} worker processes", highlight=False)

    async def run() -> Result:
        with console.open_display(CONSOLE) as display:
            return await play(scenario, get_settings(), options, display)

    return interruptible.run(run())


def _print(result: Result, out: Path) -> None:
    console.print_metrics(CONSOLE, result.report)
    console.print_invariants(CONSOLE, result.invariants)
    console.print_dead_letters(CONSOLE, result.dead_letters)
    if result.passed:
        CONSOLE.print("all invariants hold", highlight=False)
    attempts = result.report.totals.sums.attempts
    CONSOLE.print(
        f"{attempts:,} attempts in {result.dialing_seconds:.1f} s "
        f"({attempts / result.dialing_seconds:,.0f}/s), {result.total_seconds:.1f} s in total; "
        f"report: {out / 'report.html'}",
        highlight=False,
    )
