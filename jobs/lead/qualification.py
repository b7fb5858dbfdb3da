"""Scoring leads before they are called."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

import structlog

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.rules.dispositions import move_lead
from jobs.rules.numbers import Tag, Temperature
from jobs.rules.scoring import DEFAULT_RULES, Evidence, LeadFacts, Score, score
from jobs.rules.states import LeadStatus
from jobs.store.model import Lead
from jobs.store.protocol import Work

LEADS_PER_JOB: Final = 100
MOST_AT_ONCE: Final = 100_000
"""Leads that one run enqueues; the next one follows when these are likely to be scored."""
NEXT_RUN: Final = timedelta(minutes=1)

STATUS_OF: Final = MappingProxyType(
    {Temperature.HOT: LeadStatus.QUALIFIED, Temperature.COLD: LeadStatus.UNQUALIFIED}
)
"""What a score makes of a lead; a neutral one decides nothing."""

log = structlog.get_logger(__name__)


@job("lead.qualify", timeout=30)
@retry()
async def qualify_lead(
    ctx: JobContext, *lead_ids: UUID, temperature: Temperature | None = None
) -> None:
    """Scores leads: points, temperature and evidence, with the version of the rule set.

    temperature: hot, neutral or cold, or 1, 2, 3: what the caller knows better than the score;
    a lead that must not be called stays cold. A hot lead becomes qualified, a cold one
    unqualified, a neutral one keeps its status. So does a lead that a call has reached: what a
    person said counts more than a score. Ids without a lead are passed over.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        leads = await work.leads.get_many(lead_ids, lock=True)
        tags = await work.leads.tags([lead.id for lead in leads])
        suppressed = await _suppressed(work, leads, now)
        changed = []
        for lead in leads:
            facts = _facts(lead, tags[lead.id], suppressed=(lead.tenant, lead.e164) in suppressed)
            after = rated(lead, score(facts, now), temperature)
            if after != lead:
                changed.append(replace(after, updated_at=now))
        await work.leads.save(changed)


async def _suppressed(work: Work, leads: Collection[Lead], now: datetime) -> set[tuple[str, str]]:
    found = set()
    for tenant in {lead.tenant for lead in leads}:
        numbers = [lead.e164 for lead in leads if lead.tenant == tenant]
        found |= {(tenant, one) for one in await work.leads.suppressed(tenant, numbers, now)}
    return found


def _facts(lead: Lead, tags: frozenset[Tag], *, suppressed: bool) -> LeadFacts:
    return LeadFacts(
        status=lead.status,
        created_at=lead.created_at,
        has_email=lead.email is not None,
        has_name=lead.name is not None,
        suppressed=suppressed,
        tags=frozenset(tag.key for tag in tags),
        attributes={"source": lead.source, "state": lead.state, **lead.attributes},
    )


def rated(lead: Lead, result: Score, told: Temperature | None = None) -> Lead:
    """The lead with its score. told: the temperature that the caller knows."""
    temperature, evidence = result.temperature, result.evidence
    if told is not None and not result.disqualified:
        temperature = told
        evidence = (*evidence, Evidence("told", 0, f"said to be {told.value}"))
    status = lead.status
    if temperature in STATUS_OF and lead.last_contacted_at is None:
        status = move_lead(status, STATUS_OF[temperature])
    return replace(
        lead,
        score=result.points,
        temperature=temperature,
        evidence=evidence,
        ruleset_version=result.ruleset_version,
        status=status,
    )


@job("lead.qualify_pending", timeout=120, keep_result=0)
@retry()
async def qualify_pending(ctx: JobContext) -> int:
    """Enqueues `lead.qualify` for all leads that this rule set has not scored; answers how many.

    Run again, it enqueues what is still not scored; scoring a lead twice changes nothing.
    """
    clock = ctx["clock"]
    async with ctx["store"].begin() as work:
        ids = await work.leads.pending_qualification(DEFAULT_RULES.version, MOST_AT_ONCE)
        for chunk in batched(ids, LEADS_PER_JOB):
            work.enqueue("lead.qualify", *chunk)
        if len(ids) == MOST_AT_ONCE:
            now = clock.now()
            work.enqueue("lead.qualify_pending", defer_until=now + (now - clock.ago(NEXT_RUN)))
    if ids:
        log.info("leads_pending", leads=len(ids))
    return len(ids)
