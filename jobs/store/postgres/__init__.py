"""TODO-MAP."""

from jobs.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
