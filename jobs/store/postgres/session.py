"""Connections to PostgreSQL, statements, and database errors."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Literal

import orjson
from sqlalchemy import Executable, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from jobs.errors import ConflictError, DatabaseError, UsageError, ValidationError, as_job_error

_OTHER_SCHEMA = frozenset({"42P01", "42703"})
"""The SQLSTATEs of an undefined table and an undefined column."""
_BAD_VALUE = "22"
"""The prefix of the SQLSTATEs of data exceptions, which asyncpg uses for bad values, too."""


def open_engine(
    database_url: str, *, pool_size: int, synchronous_commit: Literal["on", "off"] = "on"
) -> AsyncEngine:
    """Return an engine over asyncpg, which connects on first use.

    Args:
        database_url: As in libpq: `postgresql://user:password@host:port/name?sslmode=…`, or
            `postgresql://user@/name?host=/folder` for a Unix socket.
        pool_size: The number of connections at most.
        synchronous_commit: PostgreSQL's setting of this name.

    Raises:
        UsageError: The URL is invalid.
    """
    url, ssl = _for_asyncpg(database_url)
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        json_deserializer=orjson.loads,
        hide_parameters=True,  # parameters contain phone numbers
        connect_args={
            **ssl,
            "prepared_statement_cache_size": 500,
            "server_settings": {
                "application_name": "ringline",
                # A process that freezes within a transaction must not keep its locks.
                "idle_in_transaction_session_timeout": "30s",
                "jit": "off",
                # A plan cached while a table was small would still scan the table after it has
                # grown.
                "plan_cache_mode": "force_custom_plan",
                "synchronous_commit": synchronous_commit,
                "timezone": "UTC",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _for_asyncpg(database_url: str) -> tuple[URL, dict[str, str]]:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):  # their texts quote the password
        url = None
    if url is None or url.get_backend_name() not in {"postgresql", "postgres"}:
        raise UsageError("the database's URL must have the form postgresql://user@host/name")
    ssl = {"ssl": str(mode)} if (mode := url.query.get("sslmode")) else {}
    return url.set(drivername="postgresql+asyncpg").difference_update_query(["sslmode"]), ssl


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """Make the pool replace a connection that the server has closed, without a round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection of the pool; whatever is not committed is rolled back."""
    async with AsyncExitStack() as stack:
        with database_errors():
            connection = await stack.enter_async_context(engine.connect())
        yield connection


class Session:
    """The connection of one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[Any]:
        """Run a statement and return all rows."""
        with database_errors():
            return (await self._connection.execute(statement, parameters)).all()

    async def first(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Any:
        """Run a statement and return the first row, if there is one."""
        with database_errors():
            return (await self._connection.execute(statement, parameters)).first()

    async def run(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> int:
        """Run a statement without a result; return the number of rows that it changed."""
        with database_errors():
            return (await self._connection.execute(statement, parameters)).rowcount


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise errors of the database as errors of `jobs.errors`."""
    try:
        yield
    except OSError as error:  # a TimeoutError is one
        raise DatabaseError(f"PostgreSQL cannot be reached: {error}") from error
    except IntegrityError as error:
        # Without the cause: the driver's text quotes the row, which has a phone number.
        raise _refused(error) from None
    except DBAPIError as error:
        if _state(error).startswith(_BAD_VALUE):
            # Without the cause: the driver's text quotes the value.
            kind = type(error.driver_exception).__name__
            raise ValidationError(f"PostgreSQL cannot take a value: {kind}") from None
        raise _mapped(error) from error
    except Exception as error:
        mapped = _mapped(error)
        if mapped is error:
            raise
        raise mapped from error


def _refused(error: IntegrityError) -> Exception:
    """Return a conflict that names the violated constraint."""
    cause = error.driver_exception
    constraint = getattr(cause, "constraint_name", None) or getattr(cause, "column_name", None)
    match _state(error):
        case "23505":  # unique violation
            return ConflictError(f"a row with the same key is there already ({constraint})")
        case "23503":  # foreign key violation
            return ConflictError(f"the row refers to one that does not exist ({constraint})")
        case _:
            return ValidationError(f"the database refuses this value ({constraint})")


def _state(error: DBAPIError) -> str:
    return getattr(error.driver_exception, "sqlstate", None) or ""


def _mapped(error: Exception) -> BaseException:
    """Return the error as `as_job_error` maps it, in one line without the statement."""
    mapped = as_job_error(error)
    if mapped is error or not isinstance(error, DBAPIError):
        return mapped
    cause = error.driver_exception
    if _state(error) in _OTHER_SCHEMA:
        return DatabaseError("the database's schema is not of this version: run `ringline migrate`")
    line = str(getattr(cause, "message", None) or cause).splitlines()[0]
    return type(mapped)(f"PostgreSQL: {line}")
