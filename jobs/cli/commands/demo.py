"""`ringline demo`: the main job."""

from pathlib import Path

import click

from jobs.analytics.render import as_json, require_charts
from jobs.cli import interruptible
from jobs.cli.output import CONSOLE
from jobs.cli.params import Number
from jobs.demo import console
from jobs.demo.run import Options, Result, play
from jobs.demo.scenario import Scenario, made_up, replayed
from jobs.errors import UsageError
from jobs.settings import get_settings


@click.command()
@click.option("--leads", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of leads and of calls.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--rate", type=Number(1, 1e6), help="Business seconds that pass in a real one.")
@click.option(
    "--dataset",
    type=click.Path(path_type=Path),
    help="A recorded campaign (CSV, also gzipped) to be called again, in place of made-up leads.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out/demo"),
    show_default=True,
    help="The folder of the report.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="The report's JSON"
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
    """Run a whole campaign against a simulated voice provider, and check the books.

    Nobody is called. Leads are imported, qualified, tagged, enrolled and dialled under a fast
    clock, in databases of the run's own, which are dropped at its end. Exit code 1 if the books
    do not balance.
    """
    require_charts()  # the report comes last, minutes from here
    _make_folder(out)
    if dataset is None:
        scenario = made_up(out, leads=leads, seed=seed, rate=rate)
    else:
        scenario = replayed(out, dataset, rate=rate)
    result = _run(scenario, Options(out, workers))
    if json_file is not None:
        json_file.write_text(as_json(result.report), encoding="utf-8")
    _show(result, out)
    if not result.balances:
        raise click.ClickException("the books do not balance")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}: name another folder with --out") from None


def _run(scenario: Scenario, options: Options) -> Result:
    CONSOLE.print(f"{scenario.title}, {options.workers} worker processes", highlight=False)

    async def run() -> Result:
        with console.display(CONSOLE) as show:
            return await play(scenario, get_settings(), options, show)

    return interruptible.run(run())


def _show(result: Result, out: Path) -> None:
    console.print_metrics(CONSOLE, result.report)
    console.print_books(CONSOLE, result.books)
    console.print_dead(CONSOLE, result.dead)
    attempts = result.report.totals.sums.attempts
    CONSOLE.print(
        f"{attempts:,} attempts in {result.dialling:.1f} s ({attempts / result.dialling:,.0f} a "
        f"second), {result.total:.1f} s in all; the report: {out / 'report.html'}",
        highlight=False,
    )
