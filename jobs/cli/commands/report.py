"""`ringline report`: a campaign's figures as files."""

import asyncio
from pathlib import Path

import click

from jobs.analytics.render import require_charts, write_report
from jobs.analytics.report import build_report
from jobs.analytics.rollup import roll_up
from jobs.cli.commands.campaign import TENANT, find_campaign
from jobs.cli.resources import opened_store
from jobs.clock import clock_from
from jobs.settings import get_settings


@click.command()
@click.argument("campaign")
@TENANT
@click.option("--zone", default="UTC", show_default=True, help="Whose local days the report has.")
@click.option(
    "--out",
    default=Path("out/report"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the report.",
)
def report(campaign: str, tenant: str, zone: str, out: Path) -> None:
    """Write the report of CAMPAIGN, named by name or id, from the calls as they are now."""

    async def run() -> Path:
        now = clock_from(get_settings().jobs_clock).now()
        async with opened_store() as store:
            await roll_up(store)
            async with store.begin() as work:
                found = await find_campaign(work, tenant, campaign)
                made = await build_report(work, found.id, now, zone=zone)
        return write_report(made, out).html

    require_charts()
    click.echo(asyncio.run(run()))
