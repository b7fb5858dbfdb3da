"""`ringline lead`: leads from files."""

import asyncio
from pathlib import Path

import click
from rich.progress import Progress

from jobs.cli.output import ERRORS
from jobs.cli.resources import opened_store
from jobs.clock import clock_from
from jobs.errors import UsageError
from jobs.lead.importing import ImportReport, import_leads
from jobs.settings import get_settings


@click.group()
def lead() -> None:
    """Leads: people to be called."""


@lead.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--tenant", default="default", show_default=True)
@click.option("--region", help="Where numbers without a country code are, as US (DEFAULT_REGION).")
@click.option("--source", help="What the leads' source is called; else the file's name.")
@click.option("--timezone", help="The zone of leads without one, as Europe/Lisbon.")
@click.option("--delimiter", help="The character between two cells; else it is found out.")
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD=HEADING", help="Where a field stands."
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the rejected rows go; else FILE.rejects.csv.",
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
    """Add the leads of a CSV file (plain or gzipped); rows that cannot be used are told apart.

    Importing a file again adds nothing twice. Exit code 0 even with rejected rows: the rejects
    file has the line, the column and the reason of each.
    """
    settings = get_settings()

    async def run() -> ImportReport:
        with Progress(console=ERRORS, transient=True, disable=not ERRORS.is_terminal) as bars:
            bar = bars.add_task("reading", total=None)
            async with opened_store() as store:
                return await import_leads(
                    store,
                    clock_from(settings.jobs_clock),
                    file,
                    tenant=tenant,
                    region=region or settings.default_region,
                    source_name=source,
                    timezone=timezone,
                    delimiter=delimiter,
                    columns=dict(map(_column, columns)),
                    rejects=rejects,
                    progress=lambda read: bars.update(bar, description=f"{read:,} rows"),
                )

    report = asyncio.run(run())
    click.echo(
        f"{report.read:,} rows: {report.added:,} added, {report.duplicates:,} duplicates, "
        f"{report.rejected:,} rejected"
    )
    if report.rejects_path is not None:
        click.echo(f"why they were rejected: {report.rejects_path}")


def _column(text: str) -> tuple[str, str]:
    field, equals, heading = text.partition("=")
    if not (field and equals and heading):
        raise UsageError(f"--column {text!r} is not FIELD=HEADING, as number=Handy")
    return field, heading
