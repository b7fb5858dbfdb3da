"""Tables and indexes. Every time is a `timestamptz`, and every constraint has a name."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.numbers import Temperature
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import EventKind

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

Moment = DateTime(timezone=True)

LIVE = "status IN ('scheduled','dialing','unknown','queued','initiated','ringing','in-progress')"
"""A call that is scheduled or has not ended."""
TO_CALL = "status IN ('queued','retry_wait','callback')"
"""An enrollment whose next call is to be scheduled, now or later."""

UNFETCHED = (
    "kind = 'recording' AND fetched_at IS NULL AND applied_at IS NOT NULL "
    "AND payload ->> 'status' = 'completed'"
)
"""An event about a recording that is still to be fetched."""


def one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """Return a check that a column holds a value of an enumeration, or NULL."""
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=column)


def partial(name: str, *columns: object, where: str) -> Index:
    """Return an index over the few rows that a recurring query needs."""
    return Index(name, *columns, postgresql_where=text(where))  # type: ignore[arg-type]  # names or text


leads = Table(
    "leads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("e164", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("timezone", Text),
    Column("state", Text),
    Column("postal_code", Text),
    Column("source", Text),
    Column("attributes", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default=LeadStatus.NEW.value),
    Column("score", SmallInteger),
    Column("temperature", Text),
    Column("evidence", JSONB, nullable=False, server_default=text("'[]'")),
    Column("ruleset_version", Text),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("last_contacted_at", Moment),
    Column("version", Integer, nullable=False, server_default=text("1")),
    UniqueConstraint("tenant", "e164"),
    CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    one_of("status", LeadStatus),
    one_of("temperature", Temperature),
)

lead_tags = Table(
    "lead_tags",
    metadata,
    Column("lead_id", Uuid, ForeignKey("leads.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("lead_id", "key"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("e164", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "e164"),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("policy", JSONB, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("version", Integer, nullable=False, server_default=text("1")),
    UniqueConstraint("tenant", "name"),
    one_of("status", CampaignStatus),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("campaign_id", Uuid, ForeignKey("campaigns.id"), nullable=False),
    Column("lead_id", Uuid, ForeignKey("leads.id"), nullable=False),
    Column("status", Text, nullable=False, server_default=EnrolmentStatus.QUEUED.value),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("calls", Integer, nullable=False, server_default=text("0")),
    Column("tries", JSONB, nullable=False, server_default=text("'{}'")),
    Column("next_at", Moment),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("campaign_id", "lead_id"),
    one_of("status", EnrolmentStatus),
    Index(None, "lead_id"),
    partial("enrolments_due_idx", "campaign_id", "next_at", "id", where=TO_CALL),
)

# Only the enrollment is a foreign key: it already names the campaign and the lead, and a key to
# the campaign would have every batch of calls lock the one campaign row.
calls = Table(
    "calls",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("campaign_id", Uuid, nullable=False),
    Column("enrolment_id", Uuid, ForeignKey("enrolments.id"), nullable=False),
    Column("lead_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False, server_default=CallStatus.SCHEDULED.value),
    Column("scheduled_for", Moment, nullable=False),
    Column("dialed_at", Moment),
    Column("requests", Integer, nullable=False, server_default=text("0")),
    Column("refused_until", Moment),
    Column("provider_id", Text),
    Column("sequence", Integer, nullable=False, server_default=text("-1")),
    Column("answered_at", Moment),
    Column("ended_at", Moment),
    Column("duration", Integer),
    Column("answered_by", Text),
    Column("outcome", Text),
    Column("sip_code", Integer),
    Column("price", Numeric),
    Column("disposition", Text),
    Column("callback_at", Moment),
    Column("processed_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    # The lead's zone at scheduling time: a lead that moves does not move its past calls.
    Column("zone", Text, nullable=False),
    # The transaction that wrote the row last, which the rollup follows (see analytics.py).
    Column("change_id", BigInteger, nullable=False),
    UniqueConstraint("enrolment_id", "number"),
    UniqueConstraint("provider_id"),
    one_of("status", CallStatus),
    one_of("answered_by", AnsweredBy),
    one_of("outcome", CallOutcome),
    one_of("disposition", Disposition),
    CheckConstraint("duration >= 0", name="duration"),
    Index(None, "lead_id", "dialed_at"),
    Index(None, "campaign_id", "dialed_at"),
    Index(None, "change_id"),
    partial("calls_open_idx", "campaign_id", where="processed_at IS NULL"),
    partial("calls_ended_idx", "campaign_id", "ended_at", where="ended_at IS NOT NULL"),
)

# `call_id` comes from the provider's callback: no foreign key, since anyone could name any id.
call_events = Table(
    "call_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("provider_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("call_id", Uuid),
    Column("payload", JSONB, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("applied_at", Moment),
    # The time at which a recording was stored or given up.
    Column("fetched_at", Moment),
    UniqueConstraint("provider_id", "kind", "sequence"),
    one_of("kind", EventKind),
    partial("call_events_unapplied_call_idx", "call_id", where="applied_at IS NULL"),
    partial("call_events_unapplied_idx", "received_at", where="applied_at IS NULL"),
    partial("call_events_unfetched_idx", "received_at", where=UNFETCHED),
)

recordings = Table(
    "recordings",
    metadata,
    Column("provider_id", Text, primary_key=True),
    Column("call_id", Uuid, ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored_at", Moment, nullable=False),
    Index(None, "call_id"),
)

metric_buckets = Table(
    "metric_buckets",
    metadata,
    Column("campaign_id", Uuid, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("zone", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("answered_by_human", BigInteger, nullable=False),
    Column("conversions", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("carrier_failures", BigInteger, nullable=False),
    Column("price", Numeric, nullable=False),
    PrimaryKeyConstraint("campaign_id", "starts_at", "zone"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("name", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# Real time, not business time: the relay needs the real age of a row.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("function", Text, nullable=False),
    Column("args", JSONB, nullable=False),
    Column("kwargs", JSONB, nullable=False),
    Column("defer_until", Moment),
    Column("created_at", Moment, nullable=False, server_default=text("clock_timestamp()")),
    # Nearly every row is dead soon after it was written, so vacuum counts dead rows only.
    postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 5000},
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("until", Moment, nullable=False),
)
