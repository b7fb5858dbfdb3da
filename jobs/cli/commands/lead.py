"""`ringline lead`: import leads."""

import asyncio
from pathlib import Path

import click
from rich.progress import Progress

from jobs.cli.output import ERRORS
from jobs.cli.params import TENANT
from jobs.cli.resources import open_store
from jobs.clock import clock_from
from jobs.errors import UsageError
from jobs.lead.importing import ImportReport, import_leads
from jobs.settings import get_settings


@click.group()
def lead() -> None:
    """Import leads, the people to call."""


@lead.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@TENANT
@click.option(
    "--region",
    help="Region of phone numbers without a country code, such as US.  [default: DEFAULT_REGION]",
)
@click.option("--source", help="Name of the leads' source.  [default: the file's name]")
@click.option("--timezone", help="Time zone of leads without one, such as Europe/Lisbon.")
@click.option("--delimiter", help="Delimiter between cells.  [default: detected]")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=HEADING",
    help="Read FIELD from the column HEADING, as in number=Mobile. Repeatable.",
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV file to write rejected rows to.  [default: FILE.rejects.csv]",
)
def import_file(
    file: Path,
    tenant: str,
    region: str | None,
    source: str | None,
    timezone: str | None,
    delimiter: str | None,
    columns: tuple[str, ...],
    rejects: Path | None,
) -> None:
    """Import leads from a CSV file, plain or gzipped.

    Importing a file again adds no duplicates. Rejected rows go to the rejects file, each with its
    line, column and reason; the exit code is still 0.
    """
    settings = get_settings()

    async def run() -> ImportReport:
        with Progress(console=ERRORS, transient=True, disable=not ERRORS.is_terminal) as bars:
            bar = bars.add_task("reading", total=None)
            async with open_store() as store:
                return await import_leads(
                    store,
                    clock_from(settings.ringline_clock),
                    file,
                    tenant=tenant,
                    region=region or settings.default_region,
                    source_name=source,
                    timezone=timezone,
                    delimiter=delimiter,
                    columns=dict(map(_parse_column, columns)),
                    rejects=rejects,
                    progress=lambda read: bars.update(bar, description=f"{read:,} rows"),
                )

    report = asyncio.run(run())
    click.echo(
        f"{report.read:,} rows: {report.added:,} added, {report.duplicates:,} duplicates, "
        f"{report.rejected:,} rejected"
    )
    if report.rejects_path is not None:
        click.echo(f"rejected rows and reasons: {report.rejects_path}")


def _parse_column(text: str) -> tuple[str, str]:
    field, equals, heading = text.partition("=")
    if not (field and equals and heading):
        raise UsageError(f"--column {text!r} is not FIELD=HEADING, such as number=Mobile")
    return field, heading
