"""Leads from a CSV file: the good rows become leads, the others are written to a rejects file.

Importing a file again adds nothing: a number that the tenant has already is a duplicate.
"""

import asyncio
import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TextIO
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict

from jobs.batches import batched
from jobs.clock import Clock
from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ValidationError
from jobs.lead.columns import Defaults, Layout, NumberOf, Row, RowError, is_known
from jobs.lead.csvfile import Record, open_csv
from jobs.rules.numbers import Tag, is_region
from jobs.rules.zones import normalise_timezone
from jobs.store.protocol import Store, Work

ROWS_PER_TRANSACTION: Final = 1000
REJECT_HEADER: Final = ("line", "column", "value", "reason")

log = structlog.get_logger(__name__)


class ImportReport(BaseModel):
    """What an import did: read = added + duplicates + rejected.

    rejects_path: where the rejected rows are told of, when there are any.
    """

    model_config = ConfigDict(frozen=True)

    read: int
    added: int
    duplicates: int
    rejected: int
    rejects_path: Path | None


@job("lead.import", timeout=600)
@retry()
async def import_file(
    ctx: JobContext,
    path: Path,
    tenant: str = "default",
    source: str | None = None,
    timezone: str | None = None,
    delimiter: str | None = None,
    columns: dict[str, str] | None = None,
    rejects: Path | None = None,
) -> dict[str, Any]:
    """Imports a file that the worker's machine can read; answers an ImportReport.

    For the parameters see `import_leads`.
    """
    report = await import_leads(
        ctx["store"],
        ctx["clock"],
        path,
        tenant=tenant,
        region=ctx["settings"].default_region,
        source_name=source,
        timezone=timezone,
        delimiter=delimiter,
        columns=columns or {},
        rejects=rejects,
    )
    log.info("leads_imported", file=path.name, **report.model_dump(exclude={"rejects_path"}))
    return report.model_dump(mode="json")


async def import_leads(
    store: Store,
    clock: Clock,
    source: Path,
    *,
    tenant: str = "default",
    region: str = "US",
    source_name: str | None = None,
    timezone: str | None = None,
    delimiter: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    number_of: NumberOf | None = None,
    rejects: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Adds the leads of a CSV file (plain or gzipped), a thousand in a transaction.

    region: ISO 3166, for numbers without a country code. source_name: None takes the file's name.
    timezone: for rows without one. delimiter: None finds it. columns: headings by field, where
    those that are known (`jobs.lead.columns.ALIASES`) are not enough; columns that are no field
    become attributes. number_of: gives each row its number when the file has no column for it.
    rejects: None takes the file's name, ending in `.rejects.csv`. progress: is told the number of
    rows read so far.

    Raises ValidationError, in a line that names the file and the remedy, when it cannot be read
    as a CSV file, or only in part; the rows before the damage are imported then.
    """
    defaults = Defaults(
        tenant=tenant,
        region=_region(region),
        source=source_name or source.name,
        timezone=timezone and normalise_timezone(timezone),
    )
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        header, records = await asyncio.to_thread(
            stack.enter_context, open_csv(source, _one_character(delimiter), is_known)
        )
        layout = Layout.of(source, header, columns)
        if "number" not in layout.fields and number_of is None:
            raise ValidationError(
                f"{source}: no column for the phone number: head it 'phone', or say which it is "
                "(or which delimiter the file has)"
            )
        rejected = stack.enter_context(Rejects(rejects or _beside(source)))
        rows = _Rows(layout, defaults, number_of, rejected)
        chunks = batched(enumerate(records), ROWS_PER_TRANSACTION)
        while chunk := await asyncio.to_thread(next, chunks, None):
            good = await asyncio.to_thread(rows.read, chunk)
            counts["read"] += len(chunk)
            counts["added"] += await _add(store, clock, good)
            counts["good"] += len(good)
            if progress is not None:
                progress(counts["read"])
    return ImportReport(
        read=counts["read"],
        added=counts["added"],
        duplicates=counts["good"] - counts["added"],
        rejected=counts["read"] - counts["good"],
        rejects_path=rejected.path if rejected.count else None,
    )


def _region(region: str) -> str:
    if not is_region(region):
        raise ValidationError(f"{region!r} is no region: name one by two letters, as in 'US'")
    return region


def _one_character(delimiter: str | None) -> str | None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValidationError(f"{delimiter!r} is no delimiter: name one character, as in ';'")
    return delimiter


def _beside(source: Path) -> Path:
    stem = source.name.removesuffix(".gz").removesuffix(".csv")
    return source.with_name(f"{stem}.rejects.csv")


@dataclass(frozen=True, slots=True)
class _Rows:
    layout: Layout
    defaults: Defaults
    number_of: NumberOf | None
    rejects: "Rejects"

    def read(self, chunk: Sequence[tuple[int, Record]]) -> list[Row]:
        """The good rows of a chunk; the others go to the rejects."""
        good = []
        for index, record in chunk:
            try:
                good.append(self.layout.read(record, index, self.number_of, self.defaults))
            except RowError as error:
                self.rejects.write(record.line, error)
        return good


async def _add(store: Store, clock: Clock, rows: Sequence[Row]) -> int:
    if not rows:
        return 0
    first = {row.lead.e164: row for row in reversed(rows)}
    async with store.begin() as work:
        ids = await work.leads.add([row.lead for row in first.values()], clock.now())
        await _tag(work, ids, first)
    return len(ids)


async def _tag(work: Work, ids: Mapping[str, UUID], rows: Mapping[str, Row]) -> None:
    tagged: defaultdict[tuple[Tag, ...], list[UUID]] = defaultdict(list)
    for e164, lead_id in ids.items():
        if rows[e164].tags:
            tagged[rows[e164].tags].append(lead_id)
    for tags, lead_ids in tagged.items():
        await work.leads.add_tags(lead_ids, tags)


class Rejects:
    """The file of rejected rows, made at the first of them and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: int, error: RowError) -> None:
        file = self._file or self._open()
        cells = (line, error.column, _printable(error.value), error.reason)
        csv.writer(file).writerow(cells)
        self.count += 1

    def _open(self) -> TextIO:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ValidationError(
                f"{self.path}: the rejected rows cannot be written: {error.strerror}: name "
                "another file for them"
            ) from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        csv.writer(self._file).writerow(REJECT_HEADER)
        return self._file


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
