"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('status', 'machine-detection', 'recording')",
            name=op.f("call_events_kind_check"),
        ),
        sa.PrimaryKeyConstraint("id", name="call_events_pkey"),
        sa.UniqueConstraint(
            "provider_id", "kind", "sequence", name="call_events_provider_id_kind_sequence_key"
        ),
    )
    op.create_index(
        "call_events_unapplied_call_idx",
        "call_events",
        ["call_id"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_index(
        "call_events_unapplied_idx",
        "call_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("policy", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "status IN ('draft', 'scheduled', 'running', 'paused', 'completed', "
            "'canceled', 'failed')",
            name=op.f("campaigns_status_check"),
        ),
        sa.PrimaryKeyConstraint("id", name="campaigns_pkey"),
        sa.UniqueConstraint("tenant", "name", name="campaigns_tenant_name_key"),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="cursors_pkey"),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("e164", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("postal_code", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("attributes", JSONB(), nullable=False),
        sa.Column("status", sa.Text(), server_default="new", nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=True),
        sa.Column("temperature", sa.Text(), nullable=True),
        sa.Column("evidence", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("ruleset_version", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_contacted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "status IN ('new', 'contacted', 'qualified', 'unqualified', 'converted', "
            "'lost', 'invalid', 'dnc')",
            name=op.f("leads_status_check"),
        ),
        sa.CheckConstraint(
            "temperature IN ('hot', 'neutral', 'cold')", name=op.f("leads_temperature_check")
        ),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("leads_score_check")),
        sa.PrimaryKeyConstraint("id", name="leads_pkey"),
        sa.UniqueConstraint("tenant", "e164", name="leads_tenant_e164_key"),
    )
    op.create_table(
        "metric_buckets",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=False),
        sa.Column("answered_by_human", sa.BigInteger(), nullable=False),
        sa.Column("conversions", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("carrier_failures", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "starts_at", "zone", name="metric_buckets_pkey"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("args", JSONB(), nullable=False),
        sa.Column("kwargs", JSONB(), nullable=False),
        sa.Column("defer_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="outbox_pkey"),
    )
    op.create_table(
        "reports",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="reports_pkey"),
    )
    op.create_table(
        "suppressions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("e164", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "e164", name="suppressions_pkey"),
    )
    op.create_table(
        "enrolments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'paused', 'calling', 'retry_wait', 'callback', 'done', "
            "'exhausted', 'removed')",
            name=op.f("enrolments_status_check"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name="enrolments_campaign_id_fkey"
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="enrolments_lead_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="enrolments_pkey"),
        sa.UniqueConstraint("campaign_id", "lead_id", name="enrolments_campaign_id_lead_id_key"),
    )
    op.create_index(
        "enrolments_due_idx",
        "enrolments",
        ["campaign_id", "next_at", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued','retry_wait','callback')"),
    )
    op.create_index("enrolments_lead_id_idx", "enrolments", ["lead_id"], unique=False)
    op.create_table(
        "lead_tags",
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["lead_id"], ["leads.id"], name="lead_tags_lead_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("lead_id", "key", name="lead_tags_pkey"),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("enrolment_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), server_default="scheduled", nullable=False),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dialed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requests", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default=sa.text("-1"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("sip_code", sa.Integer(), nullable=True),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("disposition", sa.Text(), nullable=True),
        sa.Column("callback_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "answered_by IN ('human', 'machine_start', 'machine_end_beep', "
            "'machine_end_silence', 'machine_end_other', 'fax', 'unknown')",
            name=op.f("calls_answered_by_check"),
        ),
        sa.CheckConstraint(
            "disposition IN ('answered', 'callback', 'do_not_call', 'voicemail', "
            "'no_answer', 'busy', 'declined', 'unallocated', 'carrier_failure', "
            "'canceled', 'suppressed', 'expired')",
            name=op.f("calls_disposition_check"),
        ),
        sa.CheckConstraint(
            "outcome IN ('converted', 'appointment', 'interested', 'callback', "
            "'not_interested', 'do_not_call', 'other')",
            name=op.f("calls_outcome_check"),
        ),
        sa.CheckConstraint(
            "status IN ('scheduled', 'dialing', 'unknown', 'queued', 'initiated', "
            "'ringing', 'in-progress', 'completed', 'busy', 'no-answer', 'failed', "
            "'canceled', 'suppressed', 'expired')",
            name=op.f("calls_status_check"),
        ),
        sa.CheckConstraint("duration >= 0", name=op.f("calls_duration_check")),
        sa.ForeignKeyConstraint(
            ["enrolment_id"], ["enrolments.id"], name="calls_enrolment_id_fkey"
        ),
        sa.PrimaryKeyConstraint("id", name="calls_pkey"),
        sa.UniqueConstraint("enrolment_id", "number", name="calls_enrolment_id_number_key"),
        sa.UniqueConstraint("provider_id", name="calls_provider_id_key"),
    )
    op.create_index(
        "calls_campaign_id_dialed_at_idx", "calls", ["campaign_id", "dialed_at"], unique=False
    )
    op.create_index("calls_change_id_idx", "calls", ["change_id"], unique=False)
    op.create_index(
        "calls_ended_idx",
        "calls",
        ["campaign_id", "ended_at"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index("calls_lead_id_dialed_at_idx", "calls", ["lead_id", "dialed_at"], unique=False)
    op.create_index(
        "calls_open_idx",
        "calls",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.create_table(
        "recordings",
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"], ["calls.id"], name="recordings_call_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("provider_id", name="recordings_pkey"),
    )
    op.create_index("recordings_call_id_idx", "recordings", ["call_id"], unique=False)


def downgrade() -> None:
    op.drop_table("recordings")
    op.drop_table("calls")
    op.drop_table("lead_tags")
    op.drop_table("enrolments")
    op.drop_table("suppressions")
    op.drop_table("reports")
    op.drop_table("outbox")
    op.drop_table("metric_buckets")
    op.drop_table("leads")
    op.drop_table("cursors")
    op.drop_table("campaigns")
    op.drop_table("call_events")
