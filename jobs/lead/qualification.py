"""Qualification of leads: scores and the status that follows, before any call."""

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
from jobs.lead.lead_ids import LEADS_PER_JOB
from jobs.rules.dispositions import move_lead
from jobs.rules.numbers import Tag, Temperature
from jobs.rules.scoring import DEFAULT_RULES, Evidence, LeadFacts, Score, score
from jobs.rules.states import LeadStatus
from jobs.store.model import Lead
from jobs.store.protocol import Work

MAX_LEADS_PER_RUN: Final = 100_000
"""Leads that one run of `lead.qualify_pending` enqueues."""
NEXT_RUN: Final = timedelta(minutes=1)
"""Real time until the next run, by which these leads are likely to be scored."""

STATUS_BY_TEMPERATURE: Final = MappingProxyType(
    {Temperature.HOT: LeadStatus.QUALIFIED, Temperature.COLD: LeadStatus.UNQUALIFIED}
)
"""Status that follows from a score; a neutral lead keeps its status."""

log = structlog.get_logger(__name__)


@job("lead.qualify", timeout=30)
@retry()
async def qualify_lead(
    ctx: JobContext, *lead_ids: UUID, temperature: Temperature | None = None
) -> None:
    """Score leads, and store points, temperature, evidence and rule set version.

    A hot lead becomes qualified, a cold lead unqualified; a neutral lead keeps its status. A lead
    that a call has reached keeps its status too: the person's own words outrank a score.

    Args:
        ctx: Job context.
        lead_ids: The leads; ids without a lead are skipped.
        temperature: Rating that overrides the score (hot, neutral, cold, or 1, 2, 3). A
            disqualified lead stays cold.
    """
    now = ctx["clock"].now()
    async with ctx["store"].begin() as work:
        leads = await work.leads.get_many(lead_ids, lock=True)
        tags = await work.leads.tags([lead.id for lead in leads])
        suppressed = await _suppressed(work, leads, now)
        changed = []
        for lead in leads:
            facts = _facts(lead, tags[lead.id], suppressed=(lead.tenant, lead.e164) in suppressed)
            scored = apply_score(lead, score(facts, now), temperature)
            if scored != lead:
                changed.append(replace(scored, updated_at=now))
        await work.leads.save(changed)


async def _suppressed(work: Work, leads: Collection[Lead], now: datetime) -> set[tuple[str, str]]:
    """Return the suppressed numbers among the leads, as (tenant, e164)."""
    suppressed = set()
    for tenant in {lead.tenant for lead in leads}:
        numbers = [lead.e164 for lead in leads if lead.tenant == tenant]
        for number in await work.leads.suppressed(tenant, numbers, now):
            suppressed.add((tenant, number))
    return suppressed


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


def apply_score(lead: Lead, result: Score, override: Temperature | None = None) -> Lead:
    """Return a lead with its score and the status that follows.

    Args:
        lead: The lead.
        result: Score of the lead.
        override: Temperature given by the caller; ignored if the lead is disqualified.
    """
    temperature, evidence = result.temperature, result.evidence
    if override is not None and not result.disqualified:
        temperature = override
        # Stored values: rows scored earlier have the same wording.
        evidence = (*evidence, Evidence("told", 0, f"said to be {override.value}"))
    status = lead.status
    if temperature in STATUS_BY_TEMPERATURE and lead.last_contacted_at is None:
        status = move_lead(status, STATUS_BY_TEMPERATURE[temperature])
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
    """Enqueue `lead.qualify` for the leads that the current rule set has not scored.

    A second run enqueues the leads that are still unscored; scoring a lead twice is harmless.

    Returns:
        Count of enqueued leads.
    """
    clock = ctx["clock"]
    async with ctx["store"].begin() as work:
        ids = await work.leads.pending_qualification(DEFAULT_RULES.version, MAX_LEADS_PER_RUN)
        for chunk in batched(ids, LEADS_PER_JOB):
            work.enqueue("lead.qualify", *chunk)
        if len(ids) == MAX_LEADS_PER_RUN:
            now = clock.now()
            work.enqueue("lead.qualify_pending", defer_until=now + (now - clock.ago(NEXT_RUN)))
    if ids:
        log.info("leads_pending", leads=len(ids))
    return len(ids)
