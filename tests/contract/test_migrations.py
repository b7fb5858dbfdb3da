"""The migrations make what the tables say."""

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from jobs.store.postgres import migrate, tables
from jobs.store.postgres.session import open_engine


async def of_database(database_url: str, statement: str) -> set[tuple[object, ...]]:
    engine = open_engine(database_url, pool_size=1)
    async with engine.connect() as connection:
        rows = (await connection.execute(text(statement))).all()
    await engine.dispose()
    return {tuple(row) for row in rows}


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, tables.metadata))


async def test_the_migrated_schema_is_that_of_the_tables(database_url: str) -> None:
    engine: AsyncEngine = open_engine(database_url, pool_size=1)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'"
)
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef !~ 'alembic'"


async def test_constraints_and_indexes_are_those_of_the_tables(database_url: str) -> None:
    """Alembic does not compare CHECKs, nor the conditions of partial indexes."""
    migrated = (
        await of_database(database_url, CONSTRAINTS),
        await of_database(database_url, INDEXES),
    )
    engine = open_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.run_sync(tables.metadata.drop_all)
        await connection.run_sync(tables.metadata.create_all)
    await engine.dispose()
    made = await of_database(database_url, CONSTRAINTS), await of_database(database_url, INDEXES)
    assert made == migrated


def test_migrating_again_changes_nothing_and_several_may_at_once(database_url: str) -> None:
    assert migrate.current(database_url) == migrate.newest()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(empty, database_url).result()
    assert migrate.current(database_url) is None
    with ThreadPoolExecutor(3) as executor:
        list(executor.map(migrate.upgrade, [database_url] * 3))
    assert migrate.current(database_url) == migrate.newest()
    migrate.upgrade(database_url)


def empty(database_url: str) -> None:
    import asyncio

    async def drop() -> None:
        engine = open_engine(database_url, pool_size=1)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()

    asyncio.run(drop())
