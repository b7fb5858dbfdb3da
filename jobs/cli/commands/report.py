"""`ringline report`: write a campaign's report."""

import asyncio
from pathlib import Path

import click

from jobs.analytics.render import require_charts, write_report
from jobs.analytics.report import build_report
from jobs.analytics.rollup import roll_up
from jobs.cli.commands.campaign import find_campaign
from jobs.cli.params import TENANT
from jobs.cli.resources import open_store
from jobs.clock import clock_from
from jobs.settings import get_settings


@click.command()
@click.argument("campaign")
@TENANT
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the report's days.")
@click.option(
    "--out",
    default=Path("out/report"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write the report to.",
)
def report(campaign: str, tenant: str, zone: str, out: Path) -> None:
    """Write a campaign's report as JSON, CSV and HTML, and print the HTML file's path.

    CAMPAIGN is a campaign's name or id. Call statistics are brought up to date first.
    """

    async def run() -> Path:
        now = clock_from(get_settings().ringline_clock).now()
        async with open_store() as store:
            await roll_up(store)
            async with store.begin() as work:
                found = await find_campaign(work, tenant, campaign)
                built = await build_report(work, found.id, now, zone=zone)
        return write_report(built, out).html

    require_charts()
    click.echo(asyncio.run(run()))
