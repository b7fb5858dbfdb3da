"""The repository of rollups and of the figures of reports.

The rollup follows calls by the number of the transaction that wrote them last. PostgreSQL knows the
open transactions, so the cursor never passes one that has not committed: however long a transaction
hangs, its calls are seen. A sequence could not guarantee that.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.states import CallStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Attempt, Breakdown, Bucket, BucketKey, CampaignTotals, History
from jobs.store.postgres import tables
from jobs.store.postgres.rows import call_counts, disposition_counts, enrolment_counts
from jobs.store.postgres.session import Session
from jobs.store.postgres.statements import encode, insert_many, names

LEAD_COLUMNS = ("status", "state", "timezone", "temperature", "source")
"""Columns of leads that a breakdown may use, besides attributes."""

_PLACED = "provider_id IS NOT NULL"
_COUNTS = (
    "count(c.id), count(c.answered_at), count(c.id) FILTER (WHERE c.answered_by = :human), "
    "count(c.id) FILTER (WHERE c.outcome = :converted), coalesce(sum(c.duration), 0)"
)
_MEANINGS: Mapping[str, object] = {
    "human": AnsweredBy.HUMAN,
    "converted": CallOutcome.CONVERTED,
}

# A database that was restored elsewhere starts its numbers anew: an older cursor is void.
_TOUCHED = text(
    "WITH horizon AS (SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) "
    "AS open_from), "
    "start AS (SELECT open_from - 1 AS seen, "
    "CASE WHEN :after < open_from THEN :after - :overlap ELSE -1 END AS after FROM horizon) "
    "SELECT seen, campaign_id, bucket, zone FROM start LEFT JOIN LATERAL (SELECT DISTINCT "
    "campaign_id, date_bin('15 minutes', dialed_at, 'epoch') AS bucket, zone FROM calls "
    "WHERE change_id > start.after AND dialed_at IS NOT NULL) AS touched ON TRUE"
)
_CURSOR = text("SELECT position FROM cursors WHERE name = :name")
_MOVE_CURSOR = text(
    "INSERT INTO cursors (name, position) VALUES (:name, :position) "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)
# One index scan per bucket, whatever PostgreSQL estimates their number to be.
_COMPUTE = text(
    "SELECT k.campaign_id, k.starts_at, k.zone, figures.* FROM unnest(CAST(:campaigns AS uuid[]), "
    "CAST(:starts AS timestamptz[]), CAST(:zones AS text[])) AS k (campaign_id, starts_at, zone) "
    f"CROSS JOIN LATERAL (SELECT {_COUNTS}, "
    "count(c.id) FILTER (WHERE c.disposition = :carrier_failure), coalesce(sum(c.price), 0) "
    "FROM calls c WHERE c.campaign_id = k.campaign_id AND c.zone = k.zone "
    "AND c.dialed_at >= k.starts_at AND c.dialed_at < k.starts_at + INTERVAL '15 minutes' "
    f'AND c.{_PLACED}) AS figures ORDER BY k.campaign_id, k.starts_at, k.zone COLLATE "C"'
)
_BUCKET = names(tables.metric_buckets)
_FIGURES = _BUCKET[3:]
_PUT = insert_many(
    tables.metric_buckets,
    _BUCKET,
    key=("campaign_id", "starts_at", "zone"),
    tail="ON CONFLICT (campaign_id, starts_at, zone) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIGURES),
)
_BUCKETS = text(
    f"SELECT {', '.join(_BUCKET)} FROM metric_buckets "
    "WHERE (CAST(:campaign AS uuid) IS NULL OR campaign_id = :campaign) "
    "AND (CAST(:start AS timestamptz) IS NULL OR starts_at >= :start) "
    "AND (CAST(:end AS timestamptz) IS NULL OR starts_at < :end) "
    'ORDER BY campaign_id, starts_at, zone COLLATE "C"'
)
_TOTALS = text(
    f"SELECT {_COUNTS}, coalesce(sum(c.price), 0), "
    f"count(c.id) FILTER (WHERE NOT {tables.LIVE}), count(DISTINCT c.lead_id), "
    "count(DISTINCT c.lead_id) FILTER (WHERE c.answered_by = :human) "
    f"FROM calls c WHERE c.campaign_id = :campaign AND c.{_PLACED}"
)
_ENROLMENT_STATES = text(
    "SELECT status, count(*) FROM enrolments WHERE campaign_id = :campaign GROUP BY status"
)
_CALL_STATES = text(
    "SELECT status, disposition, count(*) FROM calls WHERE campaign_id = :campaign "
    "GROUP BY status, disposition"
)
_COLUMNS = text(
    "SELECT DISTINCT jsonb_object_keys(l.attributes) AS name FROM enrolments e "
    "JOIN leads l ON l.id = e.lead_id WHERE e.campaign_id = :campaign"
)
_BREAKDOWN = (
    "WITH enrolled AS (SELECT e.lead_id, coalesce({value}, '') AS value FROM enrolments e "
    "JOIN leads l ON l.id = e.lead_id WHERE e.campaign_id = :campaign), "
    "called AS (SELECT lead_id, count(*) AS attempts, "
    "count(*) FILTER (WHERE outcome = :converted) AS conversions, "
    "sum(duration) AS seconds FROM calls "
    f"WHERE campaign_id = :campaign AND {_PLACED} GROUP BY lead_id) "
    "SELECT value, count(*), coalesce(sum(attempts), 0), coalesce(sum(conversions), 0), "
    "coalesce(sum(seconds), 0) FROM enrolled LEFT JOIN called USING (lead_id) "
    'GROUP BY value ORDER BY value COLLATE "C"'
)
_BY_ATTRIBUTE = text(_BREAKDOWN.format(value="l.attributes ->> :attribute"))
_BY_COLUMN = {name: text(_BREAKDOWN.format(value=f"l.{name}")) for name in LEAD_COLUMNS}
# One row per course of calls: they are few, whatever the number of leads.
_HISTORIES = text(
    "WITH made AS (SELECT enrolment_id, jsonb_agg(jsonb_build_array(status, disposition, outcome) "
    "ORDER BY number) AS attempts FROM calls WHERE campaign_id = :campaign GROUP BY enrolment_id) "
    "SELECT count(*), l.status, e.status, e.calls, coalesce(m.attempts, '[]') "
    "FROM enrolments e JOIN leads l ON l.id = e.lead_id LEFT JOIN made m ON m.enrolment_id = e.id "
    "WHERE e.campaign_id = :campaign "
    "GROUP BY l.status, e.status, e.calls, m.attempts ORDER BY count(*) DESC"
)
_SAVE_REPORT = text(
    "INSERT INTO reports (name, body, created_at) VALUES (:name, CAST(:body AS jsonb), :now) "
    "ON CONFLICT (name) DO UPDATE SET body = excluded.body, created_at = excluded.created_at"
)
_REPORT = text("SELECT body FROM reports WHERE name = :name")


class PostgresAnalytics:
    """Implements `protocol.Analytics`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def touched_buckets(self, after: int, overlap: int) -> tuple[set[BucketKey], int]:
        rows = await self._session.rows(_TOUCHED, {"after": after, "overlap": overlap})
        keys = {BucketKey(*key) for _, *key in rows if key[0] is not None}
        return keys, rows[0][0]

    async def cursor(self, name: str) -> int:
        row = await self._session.first(_CURSOR, {"name": name})
        return row[0] if row is not None else 0

    async def move_cursor(self, name: str, position: int) -> None:
        await self._session.run(_MOVE_CURSOR, {"name": name, "position": position})

    async def compute(self, keys: Collection[BucketKey]) -> list[Bucket]:
        rows = await self._session.rows(
            _COMPUTE,
            {
                **_MEANINGS,
                "carrier_failure": Disposition.CARRIER_FAILURE,
                "campaigns": [key.campaign_id for key in keys],
                "starts": [key.starts_at for key in keys],
                "zones": [key.zone for key in keys],
            },
        )
        return [_bucket(row) for row in rows]

    async def put(self, buckets: Sequence[Bucket]) -> None:
        rows = [
            {**bucket.key._asdict(), **{name: getattr(bucket, name) for name in _FIGURES}}
            for bucket in buckets
        ]
        await self._session.run(_PUT, {"rows": encode(rows)})

    async def buckets(
        self, campaign_id: UUID | None, start: datetime | None, end: datetime | None
    ) -> list[Bucket]:
        rows = await self._session.rows(
            _BUCKETS, {"campaign": campaign_id, "start": start, "end": end}
        )
        return [_bucket(row) for row in rows]

    async def totals(self, campaign_id: UUID) -> CampaignTotals:
        campaign = {"campaign": campaign_id}
        enrolled = await self._session.rows(_ENROLMENT_STATES, campaign)
        called = await self._session.rows(_CALL_STATES, campaign)
        (row,) = await self._session.rows(_TOTALS, {**_MEANINGS, **campaign})
        attempts, answered, by_human, conversions, seconds, price, ended, tried, reached = row
        enrolments = enrolment_counts(enrolled)
        return CampaignTotals(
            leads=sum(enrolments.values()),
            leads_tried=tried,
            leads_reached=reached,
            attempts=attempts,
            ended=ended,
            answered=answered,
            answered_by_human=by_human,
            conversions=conversions,
            seconds=int(seconds),
            price=price,
            enrolments=enrolments,
            calls=call_counts((status, count) for status, _, count in called),
            dispositions=disposition_counts((value, count) for _, value, count in called),
        )

    async def columns(self, campaign_id: UUID) -> list[str]:
        rows = await self._session.rows(_COLUMNS, {"campaign": campaign_id})
        return sorted(row[0] for row in rows)

    async def breakdown(self, campaign_id: UUID, column: str) -> list[Breakdown]:
        parameters = {"campaign": campaign_id, "converted": CallOutcome.CONVERTED}
        if column in _BY_COLUMN:
            rows = await self._session.rows(_BY_COLUMN[column], parameters)
        else:
            rows = await self._session.rows(_BY_ATTRIBUTE, {**parameters, "attribute": column})
        return [Breakdown(value, *map(int, figures)) for value, *figures in rows]

    async def histories(self, campaign_id: UUID) -> list[History]:
        rows = await self._session.rows(_HISTORIES, {"campaign": campaign_id})
        return [
            History(
                leads,
                LeadStatus(lead),
                EnrolmentStatus(enrolment),
                calls,
                tuple(_attempt(*attempt) for attempt in attempts),
            )
            for leads, lead, enrolment, calls, attempts in rows
        ]

    async def save_report(self, name: str, body: Mapping[str, object], now: datetime) -> None:
        await self._session.run(_SAVE_REPORT, {"name": name, "body": encode(body), "now": now})

    async def report(self, name: str) -> Mapping[str, object] | None:
        row = await self._session.first(_REPORT, {"name": name})
        return row[0] if row is not None else None


def _bucket(row: Any) -> Bucket:
    (
        campaign_id,
        starts_at,
        zone,
        attempts,
        answered,
        human,
        conversions,
        seconds,
        carrier,
        price,
    ) = row
    return Bucket(
        BucketKey(campaign_id, starts_at, zone),
        attempts,
        answered,
        human,
        conversions,
        int(seconds),
        carrier,
        price,
    )


def _attempt(status: str, disposition: str | None, outcome: str | None) -> Attempt:
    return Attempt(
        CallStatus(status),
        Disposition(disposition) if disposition else None,
        CallOutcome(outcome) if outcome else None,
    )
