"""The store as the role that docs/postgres.md gives to workers: it can do all of its work, and
nothing else."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner

from jobs import embedded
from jobs.cli import main as command
from jobs.embedded import databases
from jobs.settings import get_settings
from jobs.store.postgres import migrate, tables
from jobs.store.postgres.grants import PRIVILEGES
from jobs.store.postgres.store import PostgresStore
from tests.contract import (
    test_analytics,
    test_calls,
    test_campaigns,
    test_events,
    test_leads,
    test_outbox,
    test_transactions,
)
from tests.contract.given import Queue
from tests.integration.domains import test_call_flow

DOCS = Path(__file__).parents[2] / "docs" / "postgres.md"


class Roles(NamedTuple):
    """What the documented SQL made, under names of this run's own."""

    admin_url: str
    owner: str
    app: str
    database: str


async def run_sql(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def works_as(database: str, role: str) -> str:
    """Makes all that connect to the database be this role, without its password."""
    return f"ALTER DATABASE {database} SET role = {role}"


@pytest.fixture(scope="module")
def roles(embedded_servers: embedded.Servers) -> Iterator[Roles]:
    """The two roles and a migrated database, made as the documentation says."""
    (sql,) = re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    name = f"test_{uuid4().hex[:12]}"
    made = Roles(embedded_servers.database_url, f"{name}_owner", f"{name}_app", name)
    statements = re.sub(r"\bringline", name, sql).split(";\n")
    asyncio.run(run_sql(made.admin_url, *filter(None, statements), works_as(name, made.owner)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", databases.url_for(made.admin_url, name))
        get_settings.cache_clear()
        result = CliRunner().invoke(command, ["migrate", "--grant", made.app])
        assert result.exit_code == 0, result.output
        assert f"{made.app} may work with it" in result.stdout
    get_settings.cache_clear()
    asyncio.run(run_sql(made.admin_url, works_as(name, made.app)))
    yield made
    asyncio.run(databases.drop(made.admin_url, name))
    asyncio.run(run_sql(made.admin_url, f"DROP ROLE {made.app}", f"DROP ROLE {made.owner}"))


@pytest.fixture
def database_url(roles: Roles) -> Iterator[str]:
    """That database, in which everyone is the workers' role; emptied afterwards."""
    url = databases.url_for(roles.admin_url, roles.database)
    yield url
    asyncio.run(run_sql(url, "SET ROLE NONE", f"TRUNCATE {', '.join(tables.metadata.tables)}"))


DELETE_CALLS = {
    test_analytics.test_a_bucket_without_calls_is_computed_as_zeros,
    test_analytics.test_without_one_call_totals_and_breakdowns_are_others,
}
"""Tests that do themselves what the role may not do."""


def contracts() -> Iterator[Callable[..., Awaitable[None]]]:
    """The tests that need nothing but a store and its queue."""
    for module in (
        test_analytics,
        test_calls,
        test_campaigns,
        test_events,
        test_leads,
        test_outbox,
        test_transactions,
    ):
        for name, test in vars(module).items():
            if name.startswith("test_") and test not in DELETE_CALLS and needs(test) <= GIVEN:
                yield test


GIVEN = {"store", "queue"}


def needs(test: Callable[..., object]) -> set[str]:
    return set(inspect.signature(test).parameters)


@pytest.mark.parametrize("contract", list(contracts()), ids=lambda test: test.__name__)
async def test_the_stores_suite_passes(
    contract: Callable[..., Awaitable[None]], postgres: PostgresStore, queue: Queue
) -> None:
    given = {"store": postgres, "queue": queue}
    await contract(**{name: given[name] for name in needs(contract)})


@pytest.mark.parametrize(
    "flow",
    [
        test_call_flow.test_unanswered_lead_is_called_again_and_converts,
        test_call_flow.test_do_not_call_applies_at_once_in_all_campaigns,
        test_call_flow.test_lost_answer_is_found_by_a_lookup,
    ],
)
async def test_a_campaign_runs(flow: Callable[[str], Awaitable[None]], database_url: str) -> None:
    await flow(database_url)


REFUSED = [
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine",
    "ALTER TABLE leads ADD COLUMN mine int",
    "ALTER TABLE outbox DISABLE TRIGGER ALL",
    "CREATE INDEX mine ON leads (name)",
    "DROP TABLE leads",
    "DROP INDEX calls_open_idx",
    "TRUNCATE outbox",
    "DELETE FROM leads",
    "DELETE FROM calls",
    "DELETE FROM suppressions",
    "UPDATE recordings SET path = ''",
    "UPDATE outbox SET function = ''",
    "UPDATE lead_tags SET name = ''",
    "SELECT * FROM alembic_version",
    "UPDATE alembic_version SET version_num = ''",
    "COPY leads TO '/tmp/leads'",
    "COPY leads TO PROGRAM 'cat'",
    "ALTER SYSTEM SET fsync = off",
]


@pytest.mark.parametrize("statement", REFUSED)
async def test_all_else_is_refused(statement: str, roles: Roles) -> None:
    connection = await asyncpg.connect(databases.url_for(roles.admin_url, roles.database))
    try:
        assert await connection.fetchval("SELECT current_user") == roles.app
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_role_has_what_is_written_down_and_no_more(roles: Roles) -> None:
    connection = await asyncpg.connect(databases.url_for(roles.admin_url, roles.database))
    rows = await connection.fetch(
        "SELECT c.relname, string_agg(p, ', ' ORDER BY p) FROM pg_class c, LATERAL ("
        "SELECT verb FROM "
        "unnest(ARRAY['DELETE','INSERT','REFERENCES','SELECT','TRIGGER','TRUNCATE','UPDATE']) verb "
        "WHERE has_table_privilege(c.oid, verb) UNION ALL "
        "SELECT format('%s (%s)', verb, attname) FROM pg_attribute, "
        "unnest(ARRAY['INSERT','REFERENCES','SELECT','UPDATE']) verb "
        "WHERE attrelid = c.oid AND attnum > 0 AND NOT has_table_privilege(c.oid, verb) "
        "AND has_column_privilege(c.oid, attnum, verb)) AS granted (p) "
        "WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname"
    )
    await connection.close()
    assert dict(map(tuple, rows)) == {
        table: ", ".join(sorted(verbs.split(", "))) for table, verbs in PRIVILEGES.items()
    }
    assert PRIVILEGES.keys() == tables.metadata.tables.keys()


def test_what_no_grant_would_bind_is_refused(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{roles.database}_2"
    asyncio.run(databases.create(roles.admin_url, name, template=roles.database))
    monkeypatch.setenv("DATABASE_URL", databases.url_for(roles.admin_url, name))
    get_settings.cache_clear()
    try:
        for role, complaint in ((roles.owner, "owns the tables"), ("no; such", "no role")):
            result = CliRunner().invoke(command, ["migrate", "--grant", role])
            assert result.exit_code == 2
            assert complaint in result.stderr
            assert result.stderr.count("\n") == 1
    finally:
        get_settings.cache_clear()
        asyncio.run(databases.drop(roles.admin_url, name))


def test_several_processes_may_grant_at_once(roles: Roles) -> None:
    name = f"{roles.database}_3"
    asyncio.run(databases.create(roles.admin_url, name, template=roles.database))
    url = databases.url_for(roles.admin_url, name)
    try:
        with ThreadPoolExecutor(4) as executor:
            list(executor.map(lambda _: migrate.upgrade(url, grant_to=roles.app), range(8)))
    finally:
        asyncio.run(databases.drop(roles.admin_url, name))
