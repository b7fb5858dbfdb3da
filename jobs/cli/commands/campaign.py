"""`ringline campaign`: campaigns made, moved and shown."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from uuid import UUID

import click
from pydantic import ValidationError as PolicyError
from rich.table import Table

from jobs.campaign.status import Action, set_status
from jobs.cli.output import CONSOLE
from jobs.cli.resources import opened_store
from jobs.clock import clock_from
from jobs.context import JobContext
from jobs.errors import NotFoundError, UsageError
from jobs.rules.numbers import Temperature, normalise_tag
from jobs.rules.policy import CampaignPolicy
from jobs.settings import get_settings
from jobs.store.model import Campaign, CampaignTotals, LeadFilter
from jobs.store.protocol import Work

TENANT = click.option("--tenant", default="default", show_default=True)


@click.group()
def campaign() -> None:
    """Campaigns: lists of leads to be called under one policy. Named by name or id."""


@campaign.command()
@click.argument("name")
@TENANT
@click.option("--tag", "tags", multiple=True, help="Enrol leads with this tag; all of several.")
@click.option(
    "--temperature",
    "temperatures",
    multiple=True,
    type=click.Choice([one.value for one in Temperature]),
    help="Enrol leads of this temperature; any of several.",
)
@click.option("--source", help="Enrol leads of this source.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A JSON file with the rules that differ from the usual ones.",
)
def create(
    name: str,
    tenant: str,
    tags: tuple[str, ...],
    temperatures: tuple[str, ...],
    source: str | None,
    policy: Path | None,
) -> None:
    """Make a draft and enrol the leads that the options say; without any, all of the tenant."""
    rules = _policy(policy)
    where = LeadFilter(
        tenant,
        frozenset(normalise_tag(tag).key for tag in tags),
        frozenset(map(Temperature, temperatures)),
        source,
    )

    async def run() -> tuple[Campaign, int]:
        now = clock_from(get_settings().jobs_clock).now()
        async with opened_store() as store, store.begin() as work:
            made = await work.campaigns.add(tenant, name, rules, now)
            return made, await work.campaigns.enrol(made.id, where, now)

    made, enrolled = asyncio.run(run())
    click.echo(f"{made.id} {made.name}: draft, {enrolled:,} leads enrolled")


def _policy(path: Path | None) -> CampaignPolicy:
    if path is None:
        return CampaignPolicy()
    try:
        return CampaignPolicy.model_validate_json(path.read_text())
    except PolicyError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {place}: {first['msg']}") from None


def _action(action: Action, summary: str) -> None:
    @campaign.command(action.value, help=summary)
    @click.argument("name")
    @TENANT
    def move(name: str, tenant: str) -> None:
        async def run() -> str:
            async with opened_store() as store:
                async with store.begin() as work:
                    found = await find_campaign(work, tenant, name)
                clock = clock_from(get_settings().jobs_clock)
                # Called as a function, the job answers at once, and needs no more than these two.
                ctx = cast("JobContext", {"store": store, "clock": clock})
                status = await set_status(ctx, found.id, action)
                return f"{found.id} {found.name}: {status.value}"

        click.echo(asyncio.run(run()))


_action(Action.START, "Start dialling.")
_action(Action.PAUSE, "Dial nobody anew; calls in flight finish.")
_action(Action.RESUME, "Go on after a pause.")
_action(Action.CANCEL, "End the campaign and its enrolments for good.")


@campaign.command()
@click.argument("name")
@TENANT
@click.option("--json", "as_json", is_flag=True)
def show(name: str, tenant: str, as_json: bool) -> None:
    """Show a campaign's state and figures."""

    async def run() -> tuple[Campaign, CampaignTotals]:
        async with opened_store() as store, store.begin() as work:
            found = await find_campaign(work, tenant, name)
            return found, await work.analytics.totals(found.id)

    found, totals = asyncio.run(run())
    figures = _figures(found, totals)
    if as_json:
        click.echo(json.dumps({**figures, "policy": found.policy.model_dump(mode="json")}))
        return
    table = Table.grid(padding=(0, 2))
    for label, value in figures.items():
        table.add_row(label.replace("_", " "), _text(value))
    CONSOLE.print(table)


def _figures(found: Campaign, totals: CampaignTotals) -> dict[str, object]:
    return {
        "id": str(found.id),
        "name": found.name,
        "status": found.status.value,
        "started_at": found.started_at and found.started_at.isoformat(),
        "ended_at": found.ended_at and found.ended_at.isoformat(),
        "leads": totals.leads,
        "leads_tried": totals.leads_tried,
        "leads_reached": totals.leads_reached,
        "attempts": totals.attempts,
        "answered": totals.answered,
        "answered_by_human": totals.answered_by_human,
        "conversions": totals.conversions,
        "seconds": totals.seconds,
        "enrolments": {status.value: count for status, count in totals.enrolments.items()},
        "calls": {status.value: count for status, count in totals.calls.items()},
    }


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value or "-")


async def find_campaign(work: Work, tenant: str, name: str) -> Campaign:
    """By name, else by id. Raises NotFoundError."""
    found = await work.campaigns.find(tenant, name)
    if found is not None:
        return found
    try:
        return await work.campaigns.get(UUID(name))
    except ValueError:
        raise NotFoundError("campaign", name) from None
