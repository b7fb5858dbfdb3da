"""The store on PostgreSQL: all SQL, and the migrations.

- `store`: the store and its unit of work.
- `session`: connections, and errors of the database.
- `tables`: the tables and indexes.
- `rows`: rows to records and back.
- `statements`: builders of statements over many rows.
- `leads`, `campaigns`, `calls`, `analytics`: the repositories.
- `outbox`: follow-up jobs that commit with a change.
- `notices`: LISTEN, by which processes hear of follow-up jobs.
- `grants`: the privileges of the application's role.
- `migrate`: brings a database to the current schema.
- `migrations`: the revisions of the schema.

Statements lock rows in one order, or skip locked rows: campaigns, limits, calls, leads,
enrollments, suppressions, outbox; within a table by key. tests/contract/test_lock_order.py runs
every pair of jobs side by side.
"""

from jobs.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
