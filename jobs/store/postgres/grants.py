"""What the application's role may do: read and change rows of these tables, and nothing else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, text

from jobs.errors import UsageError
from jobs.store.postgres import tables

_ADDED = "SELECT, INSERT"
_KEPT = "SELECT, INSERT, UPDATE"
_PASSING = "SELECT, INSERT, DELETE, UPDATE ({key})"
"""Locking a row takes UPDATE of some column: the first of the key, so that no value can change."""

PRIVILEGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        tables.leads.name: _KEPT,
        tables.lead_tags.name: _PASSING.format(key=tables.lead_tags.c.lead_id.name),
        tables.suppressions.name: _KEPT,
        tables.campaigns.name: _KEPT,
        tables.enrolments.name: _KEPT,
        tables.calls.name: _KEPT,
        tables.call_events.name: _KEPT,
        tables.recordings.name: _ADDED,
        tables.metric_buckets.name: _KEPT,
        tables.cursors.name: _KEPT,
        tables.reports.name: _KEPT,
        tables.outbox.name: _PASSING.format(key=tables.outbox.c.id.name),
        tables.leases.name: _KEPT,
    }
)
"""By table; nobody needs TRUNCATE, REFERENCES or TRIGGER."""

_ROLE = text(
    "SELECT r.rolsuper OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = "
    "CAST(current_schema() AS regnamespace) AND pg_has_role(r.oid, c.relowner, 'USAGE')) "
    "FROM pg_roles r WHERE r.rolname = :role"
)
# Names cannot be bound in a GRANT, so PostgreSQL itself quotes them.
_QUOTED = text("SELECT quote_ident(CAST(:role AS text)), quote_ident(current_schema())")


def grant(connection: Connection, role: str) -> None:
    """Gives the role what it needs of the migrated schema, and takes whatever else it was given.

    Raises UsageError for a role that does not exist, or that no grant would bind.
    """
    unbound = connection.execute(_ROLE, {"role": role}).scalar()
    if unbound is None:
        raise UsageError(f"there is no role {role!r}: make it first, with CREATE ROLE")
    if unbound:
        raise UsageError(
            f"the role {role!r} is a superuser, or owns the tables: grant to another one, by which "
            "the workers connect"
        )
    to, schema = connection.execute(_QUOTED, {"role": role}).one()
    connection.execute(text(f"REVOKE ALL ON SCHEMA {schema} FROM {to}"))
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {to}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {to}"))
    for table, privileges in PRIVILEGES.items():
        connection.execute(text(f"GRANT {privileges} ON {schema}.{table} TO {to}"))
