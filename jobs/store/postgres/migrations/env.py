"""Alembic's environment; `jobs.store.postgres.migrate` passes the connection."""

from alembic import context

from jobs.store.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
