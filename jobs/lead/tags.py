"""Tags on leads, compared by key and shown by the first name given to a key."""

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.lead.lead_ids import LeadIds, as_list
from jobs.rules.numbers import normalize_tags


@job("lead.add_tags", timeout=30)
@retry()
async def add_tags(ctx: JobContext, lead_ids: LeadIds, tags: list[str]) -> int:
    """Add tags to leads.

    Args:
        ctx: Job context.
        lead_ids: The leads.
        tags: Names of the tags; each lead gets each tag.

    Returns:
        Count of new pairs of lead and tag.

    Raises:
        ValidationError: A tag name is empty or too long.
    """
    async with ctx["store"].begin() as work:
        return await work.leads.add_tags(as_list(lead_ids), normalize_tags(tags))


@job("lead.remove_tags", timeout=30)
@retry()
async def remove_tags(ctx: JobContext, lead_ids: LeadIds, tags: list[str]) -> int:
    """Remove tags from leads.

    Args:
        ctx: Job context.
        lead_ids: The leads.
        tags: Names of the tags, in any case and spacing.

    Returns:
        Count of removed pairs of lead and tag.

    Raises:
        ValidationError: A tag name is empty or too long.
    """
    keys = {tag.key for tag in normalize_tags(tags)}
    async with ctx["store"].begin() as work:
        return await work.leads.remove_tags(as_list(lead_ids), keys)
