"""Changes to leads that people ask for."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ConflictError, NotFoundError, ValidationError
from jobs.rules.numbers import normalise_e164, normalise_email
from jobs.rules.zones import normalise_timezone
from jobs.store.model import Attribute, Lead
from jobs.store.protocol import Work

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class LeadChanges(BaseModel):
    """New values for some of a lead's columns; None empties a column, a missing one stays.

    attributes: are merged with those the lead has; None removes one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Text = Field("", repr=False)
    name: Text | None = Field(None, repr=False)
    email: Text | None = Field(None, repr=False)
    timezone: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    source: Text | None = None
    attributes: dict[str, Attribute] = Field({}, repr=False)


@job("lead.update", timeout=30)
@retry()
async def update_lead(ctx: JobContext, lead_ids: UUID | list[UUID], changes: LeadChanges) -> None:
    """Writes the changes to the lead, or the same ones to each of the leads.

    Raises NotFoundError, ValidationError for a bad number, e-mail address or time zone, and
    ConflictError when the number is another lead's.
    """
    ids = [lead_ids] if isinstance(lead_ids, UUID) else lead_ids
    if changes.number and len(ids) > 1:
        raise ValidationError("number: it can be given to one lead only")
    columns = _columns(changes, ctx["settings"].default_region)
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        leads = await work.leads.get_many(ids, lock=True)
        missing = set(ids) - {lead.id for lead in leads}
        if missing:
            raise NotFoundError("lead", min(missing))
        if changes.number:
            await _check_free(work, leads[0], str(columns["e164"]))
        await work.leads.save([_changed(lead, columns, changes, now) for lead in leads])


def _columns(changes: LeadChanges, region: str) -> dict[str, object]:
    columns = changes.model_dump(exclude_unset=True, exclude={"number", "attributes"})
    if changes.number:
        columns["e164"] = normalise_e164(changes.number, region)
    if changes.email is not None:
        columns["email"] = normalise_email(changes.email)
    if changes.timezone is not None:
        columns["timezone"] = normalise_timezone(changes.timezone)
    return columns


async def _check_free(work: Work, lead: Lead, e164: str) -> None:
    holder = await work.leads.find(lead.tenant, e164)
    if holder is not None and holder.id != lead.id:
        raise ConflictError(f"lead {lead.id}: the number is lead {holder.id}'s already")


def _changed(lead: Lead, columns: dict[str, object], changes: LeadChanges, now: datetime) -> Lead:
    merged = {**lead.attributes, **changes.attributes}
    attributes = {name: value for name, value in merged.items() if value is not None}
    return replace(lead, **columns, attributes=attributes, updated_at=now)  # type: ignore[arg-type]  # by column name
