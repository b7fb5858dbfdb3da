"""Tags on leads: compared by key, shown by the name they were first given."""

from collections.abc import Iterable
from uuid import UUID

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.numbers import Tag, normalise_tag

LeadIds = UUID | list[UUID]


@job("lead.add_tags", timeout=30)
@retry()
async def add_tags(ctx: JobContext, lead_ids: LeadIds, tags: list[str]) -> int:
    """Gives each of the leads each of the tags; answers how many were new.

    Raises ValidationError for a tag without any visible character.
    """
    async with ctx["store"].begin() as work:
        return await work.leads.add_tags(_ids(lead_ids), _tags(tags))


@job("lead.remove_tags", timeout=30)
@retry()
async def remove_tags(ctx: JobContext, lead_ids: LeadIds, tags: list[str]) -> int:
    """Takes the tags, in any spelling, from the leads; answers how many were there."""
    keys = {tag.key for tag in _tags(tags)}
    async with ctx["store"].begin() as work:
        return await work.leads.remove_tags(_ids(lead_ids), keys)


def _ids(lead_ids: LeadIds) -> list[UUID]:
    return [lead_ids] if isinstance(lead_ids, UUID) else lead_ids


def _tags(texts: Iterable[str]) -> list[Tag]:
    tags = [normalise_tag(text) for text in texts]
    return list({tag.key: tag for tag in reversed(tags)}.values())
