"""Builders of statements that write many rows.

The rows are one JSON parameter with column names as keys, and PostgreSQL turns them into rows of
the table's type. So the text of a statement is the same for any number of rows.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson
from pydantic_core import to_jsonable_python
from sqlalchemy import Table, TextClause, text

from jobs.errors import StaleVersionError
from jobs.store.postgres.session import Session


def encode(rows: object) -> str:
    """Return rows (mappings or records), or any other value, as JSON."""
    return orjson.dumps(rows, _plain, orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: object) -> object:
    """Convert types that orjson does not know: the driver's UUID class, mappings, Decimal."""
    if isinstance(value, UUID):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else to_jsonable_python(value)


def names(table: Table, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of a table's columns, without some."""
    left_out = set(without)
    return tuple(column.name for column in table.columns if column.name not in left_out)


def rows_of(table: Table) -> str:
    """Return SQL for the parameter `:rows` as a relation with the table's columns."""
    return f"json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json))"


def insert_many(
    table: Table,
    columns: Sequence[str],
    *,
    key: Sequence[str],
    where: str = "TRUE",
    tail: str = "",
    **computed: str,
) -> TextClause:
    """Return a statement that inserts `:rows`.

    Rows are inserted in the order of their unique key, so that two batches with the same new rows
    cannot wait for each other. `computed` are columns with an expression over the row `r`.
    """
    targets = ", ".join([*columns, *computed])
    values = ", ".join([*(f"r.{name}" for name in columns), *computed.values()])
    order = ", ".join(f"r.{name}" for name in key)
    return text(
        f"INSERT INTO {table.name} ({targets}) SELECT {values} FROM {rows_of(table)} r "
        f"WHERE {where} ORDER BY {order} {tail}"
    )


class SaveMany:
    """Updates rows that still have the version that their record was read with.

    The rows are locked in the order of their ids first, so that two batches cannot deadlock.

    Args:
        table: The table.
        kind: The name of a record in errors.
        columns: Columns that a record may change.
        computed: Columns with an expression over the record's row `r` and the table's row `t`.
    """

    def __init__(self, table: Table, kind: str, columns: Sequence[str], **computed: str) -> None:
        self._kind = kind
        self._keys = ("id", "version", *columns)
        self._values = attrgetter(*self._keys)
        changes = {name: f"r.{name}" for name in columns} | computed
        self.statement = text(
            f"UPDATE {table.name} AS t SET version = t.version + 1, "
            f"{', '.join(f'{name} = {value}' for name, value in changes.items())} "
            f"FROM (SELECT r.* FROM {rows_of(table)} r JOIN {table.name} AS l ON l.id = r.id "
            "ORDER BY l.id FOR NO KEY UPDATE OF l) AS r "
            "WHERE t.id = r.id AND t.version = r.version RETURNING t.id"
        )

    async def __call__(self, session: Session, records: Sequence[Any]) -> None:
        """Save records.

        Raises:
            StaleVersionError: A record was changed since it was read; the first is named.
        """
        if not records:
            return
        rows = [dict(zip(self._keys, self._values(record), strict=True)) for record in records]
        saved = {row[0] for row in await session.rows(self.statement, {"rows": encode(rows)})}
        if len(saved) < len(records):
            raise stale(
                self._kind, next((r.id for r in records if r.id not in saved), records[0].id)
            )


def select_by_ids(table: Table, columns: str, *, lock: bool = False) -> TextClause:
    """Return a statement for the rows with `:ids`, in the order of their ids."""
    suffix = " FOR NO KEY UPDATE" if lock else ""
    return text(
        f"SELECT {columns} FROM {table.name} WHERE id = ANY(CAST(:ids AS uuid[])) "
        f"ORDER BY id{suffix}"
    )


def stale(kind: str, key: UUID) -> StaleVersionError:
    """Return the error for a row whose version has changed."""
    return StaleVersionError(f"{kind} {key} was changed since it was read")


def as_list(values: Collection[Any]) -> list[Any]:
    """Return values as an array parameter."""
    return values if isinstance(values, list) else list(values)
