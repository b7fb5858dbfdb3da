"""`ringline campaign`: create, control and show campaigns."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast
from uuid import UUID

import click
from pydantic import ValidationError as PolicyError
from rich.table import Table

from jobs.campaign.status import Action, set_status
from jobs.cli.output import CONSOLE
from jobs.cli.params import TENANT
from jobs.cli.resources import open_store, read_store
from jobs.clock import clock_from
from jobs.context import JobContext
from jobs.errors import NotFoundError, UsageError
from jobs.rules.numbers import Temperature, normalise_tag
from jobs.rules.policy import CampaignPolicy
from jobs.settings import get_settings
from jobs.store.model import Campaign, CampaignTotals, LeadFilter
from jobs.store.protocol import Work


@click.group()
def campaign() -> None:
    """Create, control and show campaigns.

    A campaign calls a list of leads under one policy. NAME is a campaign's name or id.
    """


@campaign.command()
@click.argument("name")
@TENANT
@click.option(
    "--tag", "tags", multiple=True, help="Only leads with this tag. Repeatable: all tags."
)
@click.option(
    "--temperature",
    "temperatures",
    multiple=True,
    type=click.Choice([temperature.value for temperature in Temperature]),
    help="Only leads of this temperature. Repeatable: any of them.",
)
@click.option("--source", help="Only leads from this source.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="JSON file of policy fields that differ from the defaults.",
)
def create(
    name: str,
    tenant: str,
    tags: tuple[str, ...],
    temperatures: tuple[str, ...],
    source: str | None,
    policy: Path | None,
) -> None:
    """Create a draft campaign and enroll leads.

    Without a filter option, all leads of the tenant are enrolled.
    """
    rules = _load_policy(policy)
    where = LeadFilter(
        tenant,
        frozenset(normalise_tag(tag).key for tag in tags),
        frozenset(map(Temperature, temperatures)),
        source,
    )

    async def run() -> tuple[Campaign, int]:
        now = clock_from(get_settings().ringline_clock).now()
        async with open_store() as store, store.begin() as work:
            created = await work.campaigns.add(tenant, name, rules, now)
            return created, await work.campaigns.enrol(created.id, where, now)

    created, enrolled = asyncio.run(run())
    click.echo(f"{created.id} {created.name}: draft, {enrolled:,} leads enrolled")


def _load_policy(path: Path | None) -> CampaignPolicy:
    if path is None:
        return CampaignPolicy()
    try:
        return CampaignPolicy.model_validate_json(path.read_text())
    except PolicyError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {field}: {first['msg']}") from None


def _add_action(action: Action, summary: str) -> None:
    """Add a subcommand that applies an action to a campaign."""

    @campaign.command(action.value, help=summary)
    @click.argument("name")
    @TENANT
    def apply(name: str, tenant: str) -> None:
        async def run() -> str:
            async with open_store() as store:
                async with store.begin() as work:
                    found = await find_campaign(work, tenant, name)
                clock = clock_from(get_settings().ringline_clock)
                # `set_status` is a job, but as a plain coroutine it needs only these two.
                ctx = cast("JobContext", {"store": store, "clock": clock})
                status = await set_status(ctx, found.id, action)
                return f"{found.id} {found.name}: {status.value}"

        click.echo(asyncio.run(run()))


_add_action(Action.START, "Start dialing.")
_add_action(Action.PAUSE, "Pause dialing; calls in flight finish.")
_add_action(Action.RESUME, "Resume dialing after a pause.")
_add_action(Action.CANCEL, "Cancel the campaign and its enrollments permanently.")


@campaign.command()
@click.argument("name")
@TENANT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with the policy.")
def show(name: str, tenant: str, as_json: bool) -> None:
    """Show a campaign's status and totals."""

    async def run() -> tuple[Campaign, CampaignTotals, str]:
        async with read_store() as (store, source), store.begin() as work:
            found = await find_campaign(work, tenant, name)
            return found, await work.analytics.totals(found.id), source

    found, totals, source = asyncio.run(run())
    fields = _fields(found, totals)
    if as_json:
        click.echo(json.dumps({**fields, "policy": found.policy.model_dump(mode="json")}))
        return
    click.echo(source)
    table = Table.grid(padding=(0, 2))
    for name, value in fields.items():
        table.add_row(_LABELS.get(name, name.replace("_", " ")), _text(value))
    CONSOLE.print(table)


_LABELS: Final = {"enrolments": "enrollments", "seconds": "seconds of conversation"}
"""Labels of fields whose JSON key does not read well."""


def _fields(found: Campaign, totals: CampaignTotals) -> dict[str, object]:
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
    """Return a campaign by its name, else by its id.

    Args:
        work: An open transaction.
        tenant: Tenant whose campaign names are searched.
        name: Name or id of the campaign.

    Returns:
        The campaign.

    Raises:
        NotFoundError: No campaign has this name or id.
    """
    found = await work.campaigns.find(tenant, name)
    if found is not None:
        return found
    try:
        return await work.campaigns.get(UUID(name))
    except ValueError:
        raise NotFoundError("campaign", name) from None
