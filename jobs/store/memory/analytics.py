"""Rollups and figures in memory."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.states import CALL
from jobs.store.memory.state import State
from jobs.store.model import (
    Attempt,
    Attribute,
    Breakdown,
    Bucket,
    BucketKey,
    Call,
    CampaignTotals,
    Enrolment,
    History,
    Lead,
)
from jobs.store.postgres.analytics import LEAD_COLUMNS
from jobs.store.postgres.statements import encode

QUARTER = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryAnalytics:
    """Implements `protocol.Analytics`.

    Args:
        state: The tables.
        change: The number of this transaction.
    """

    def __init__(self, state: State, change: int) -> None:
        self._state = state
        self._change = change

    async def touched_buckets(self, after: int, overlap: int) -> tuple[set[BucketKey], int]:
        touched = {
            key
            for call in self._state.calls.values()
            if self._state.changes[call.id] > after - overlap and (key := self._bucket_of(call))
        }
        return touched, self._change - 1

    async def cursor(self, name: str) -> int:
        return self._state.cursors.get(name, 0)

    async def move_cursor(self, name: str, position: int) -> None:
        self._state.cursors[name] = position

    async def compute(self, keys: Collection[BucketKey]) -> list[Bucket]:
        calls: dict[BucketKey, list[Call]] = {key: [] for key in keys}
        for call in self._state.calls.values():
            key = self._bucket_of(call)
            if key is not None and key in calls and _placed(call):
                calls[key].append(call)
        return [_bucket(key, calls[key]) for key in sorted(calls)]

    async def put(self, buckets: Sequence[Bucket]) -> None:
        self._state.buckets.update({bucket.key: bucket for bucket in buckets})

    async def buckets(
        self, campaign_id: UUID | None, start: datetime | None, end: datetime | None
    ) -> list[Bucket]:
        return [
            bucket
            for key, bucket in sorted(self._state.buckets.items(), key=lambda item: item[0])
            if (campaign_id is None or key.campaign_id == campaign_id)
            and (start is None or key.starts_at >= start)
            and (end is None or key.starts_at < end)
        ]

    async def totals(self, campaign_id: UUID) -> CampaignTotals:
        enrolments = list(self._enrolments(campaign_id))
        calls = [c for c in self._state.calls.values() if c.campaign_id == campaign_id]
        placed = [call for call in calls if _placed(call)]
        figures = _bucket(BucketKey(campaign_id, _EPOCH, ""), placed)
        by_human = AnsweredBy.HUMAN
        return CampaignTotals(
            leads=len(enrolments),
            leads_tried=len({call.lead_id for call in placed}),
            leads_reached=len({c.lead_id for c in placed if c.answered_by is by_human}),
            attempts=figures.attempts,
            ended=sum(CALL.is_terminal(call.status) for call in placed),
            answered=figures.answered,
            answered_by_human=figures.answered_by_human,
            conversions=figures.conversions,
            seconds=figures.seconds,
            price=figures.price,
            enrolments=dict(Counter(enrolment.status for enrolment in enrolments)),
            calls=dict(Counter(call.status for call in calls)),
            dispositions=dict(Counter(c.disposition for c in calls if c.disposition)),
        )

    async def columns(self, campaign_id: UUID) -> list[str]:
        leads = (self._state.leads[e.lead_id] for e in self._enrolments(campaign_id))
        return sorted({name for lead in leads for name in lead.attributes})

    async def breakdown(self, campaign_id: UUID, column: str) -> list[Breakdown]:
        values = {
            e.lead_id: _value(self._state.leads[e.lead_id], column)
            for e in self._enrolments(campaign_id)
        }
        leads = Counter(values.values())
        attempts, conversions, seconds = Counter[str](), Counter[str](), Counter[str]()
        for call in self._state.calls.values():
            if call.campaign_id == campaign_id and _placed(call):
                value = values[call.lead_id]
                attempts[value] += 1
                conversions[value] += call.outcome is CallOutcome.CONVERTED
                seconds[value] += call.duration or 0
        return [
            Breakdown(value, leads[value], attempts[value], conversions[value], seconds[value])
            for value in sorted(leads)
        ]

    async def histories(self, campaign_id: UUID) -> list[History]:
        calls = sorted(self._state.calls.values(), key=lambda call: call.number)
        counted = Counter(
            (
                self._state.leads[e.lead_id].status,
                e.status,
                e.calls,
                tuple(
                    Attempt(call.status, call.disposition, call.outcome)
                    for call in calls
                    if call.enrolment_id == e.id
                ),
            )
            for e in self._enrolments(campaign_id)
        )
        return [History(leads, *history) for history, leads in counted.most_common()]

    async def save_report(self, name: str, body: Mapping[str, object], now: datetime) -> None:
        self._state.reports[name] = encode(body)

    async def report(self, name: str) -> Mapping[str, object] | None:
        body: Any = self._state.reports.get(name)
        return None if body is None else json.loads(body)

    def _enrolments(self, campaign_id: UUID) -> Iterator[Enrolment]:
        return (e for e in self._state.enrolments.values() if e.campaign_id == campaign_id)

    def _bucket_of(self, call: Call) -> BucketKey | None:
        if call.dialed_at is None:
            return None
        starts_at = call.dialed_at - (call.dialed_at - _EPOCH) % QUARTER
        return BucketKey(call.campaign_id, starts_at, self._state.zones[call.id])


def _placed(call: Call) -> bool:
    return call.provider_id is not None


def _bucket(key: BucketKey, placed: Sequence[Call]) -> Bucket:
    return Bucket(
        key=key,
        attempts=len(placed),
        answered=sum(call.answered_at is not None for call in placed),
        answered_by_human=sum(call.answered_by is AnsweredBy.HUMAN for call in placed),
        conversions=sum(call.outcome is CallOutcome.CONVERTED for call in placed),
        seconds=sum(call.duration or 0 for call in placed),
        carrier_failures=sum(c.disposition is Disposition.CARRIER_FAILURE for c in placed),
        price=sum((call.price for call in placed if call.price is not None), Decimal(0)),
    )


def _value(lead: Lead, column: str) -> str:
    """Return the text of a lead's value, as PostgreSQL writes it."""
    value: Attribute
    value = getattr(lead, column) if column in LEAD_COLUMNS else lead.attributes.get(column)
    match value:
        case None:
            return ""
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case _:
            return f"{Decimal(repr(value)):f}"
