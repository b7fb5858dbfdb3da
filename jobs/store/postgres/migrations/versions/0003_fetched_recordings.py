"""Marks of fetched recordings, so that recordings whose job was lost can be found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("call_events", sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE call_events SET fetched_at = applied_at "
        "WHERE kind = 'recording' AND applied_at IS NOT NULL"
    )
    op.create_index(
        "call_events_unfetched_idx",
        "call_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text(
            "kind = 'recording' AND fetched_at IS NULL AND applied_at IS NOT NULL "
            "AND payload ->> 'status' = 'completed'"
        ),
    )


def downgrade() -> None:
    op.drop_index("call_events_unfetched_idx", "call_events")
    op.drop_column("call_events", "fetched_at")
