"""Privileges of the application's role: reading and changing rows, and nothing else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, text

from jobs.errors import UsageError
from jobs.store.postgres import tables

_ADDED = "SELECT, INSERT"
_KEPT = "SELECT, INSERT, UPDATE"
_PASSING = "SELECT, INSERT, DELETE, UPDATE ({key})"
"""Locking a row requires UPDATE of a column: the first of the key, whose value never changes."""

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
"""Privileges by table. Nobody needs TRUNCATE, REFERENCES or TRIGGER."""

_ROLE = text(
    "SELECT r.rolsuper OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = "
    "CAST(current_schema() AS regnamespace) AND pg_has_role(r.oid, c.relowner, 'USAGE')) "
    "FROM pg_roles r WHERE r.rolname = :role"
)
# GRANT takes no bound names, so PostgreSQL quotes them.
_QUOTED = text("SELECT quote_ident(CAST(:role AS text)), quote_ident(current_schema())")


def grant(connection: Connection, role: str) -> None:
    """Grant a role its privileges on the migrated schema, and revoke all others.

    Args:
        connection: A connection of the schema's owner.
        role: The role's name.

    Raises:
        UsageError: The role does not exist, or grants do not restrict it.
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
