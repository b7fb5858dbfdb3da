"""Updates of leads."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ConflictError, NotFoundError, ValidationError
from jobs.lead.lead_ids import LeadIds, as_list
from jobs.rules.numbers import normalize_e164, normalize_email
from jobs.rules.zones import normalize_timezone
from jobs.store.model import Attribute, Lead
from jobs.store.protocol import Work

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class LeadChanges(BaseModel):
    """New values for columns of a lead; a field left out keeps its value, None clears it.

    Attributes:
        number: Phone number; without a country code it belongs to DEFAULT_REGION.
        name: Full name.
        email: Email address.
        timezone: IANA name of the time zone.
        state: State or province.
        postal_code: Postal code.
        source: Origin of the lead.
        attributes: Merged into the lead's attributes; None removes an attribute.
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
async def update_lead(ctx: JobContext, lead_ids: LeadIds, changes: LeadChanges) -> None:
    """Apply the same changes to one lead or several.

    Args:
        ctx: Job context.
        lead_ids: The leads.
        changes: New values.

    Raises:
        NotFoundError: A lead does not exist; none is changed.
        ValidationError: The number, email address or time zone is invalid, or there is a number
            for several leads.
        ConflictError: The number belongs to another lead.
    """
    ids = as_list(lead_ids)
    if changes.number and len(ids) > 1:
        raise ValidationError("number: cannot be set for several leads: update one lead only")
    columns = _columns(changes, ctx["settings"].default_region)
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        leads = await work.leads.get_many(ids, lock=True)
        missing = set(ids) - {lead.id for lead in leads}
        if missing:
            raise NotFoundError("lead", min(missing))
        if changes.number:
            await _check_number_is_free(work, leads[0], str(columns["e164"]))
        await work.leads.save([_with_changes(lead, columns, changes, now) for lead in leads])


def _columns(changes: LeadChanges, region: str) -> dict[str, object]:
    columns = changes.model_dump(exclude_unset=True, exclude={"number", "attributes"})
    if changes.number:
        columns["e164"] = normalize_e164(changes.number, region)
    if changes.email is not None:
        columns["email"] = normalize_email(changes.email)
    if changes.timezone is not None:
        columns["timezone"] = normalize_timezone(changes.timezone)
    return columns


async def _check_number_is_free(work: Work, lead: Lead, e164: str) -> None:
    holder = await work.leads.find(lead.tenant, e164)
    if holder is not None and holder.id != lead.id:
        raise ConflictError(f"lead {lead.id}: the number belongs to lead {holder.id}")


def _with_changes(
    lead: Lead, columns: dict[str, object], changes: LeadChanges, now: datetime
) -> Lead:
    merged = {**lead.attributes, **changes.attributes}
    attributes = {name: value for name, value in merged.items() if value is not None}
    return replace(lead, **columns, attributes=attributes, updated_at=now)  # type: ignore[arg-type]  # keyed by column name
