"""Import of leads from a CSV file: good rows become leads, the others go to a rejects file.

A second import of a file adds nothing: a number that the tenant already has is a duplicate.
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
from jobs.rules.zones import normalize_timezone
from jobs.store.protocol import Store, Work

ROWS_PER_TRANSACTION: Final = 1000
REJECT_HEADER: Final = ("line", "column", "value", "reason")

log = structlog.get_logger(__name__)


class ImportReport(BaseModel):
    """Result of an import: read = added + duplicates + rejected.

    Attributes:
        read: Rows read.
        added: Leads added.
        duplicates: Rows whose number the tenant already has.
        rejected: Rows written to the rejects file.
        rejects_path: The rejects file; None if no row was rejected.
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
    """Import a lead file from a path on the worker's machine.

    Args:
        ctx: Job context.
        path: The file.
        tenant: Tenant of the leads.
        source: Origin of the leads; None means the name of the file.
        timezone: IANA zone of rows without one.
        delimiter: Delimiter of the cells; None detects it.
        columns: Headings by field, for headings that are not recognized.
        rejects: The rejects file; None means `NAME.rejects.csv` beside the file.

    Returns:
        An ImportReport in JSON form.

    Raises:
        ValidationError: The file cannot be read; see `import_leads`.
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
    """Add the leads of a CSV file, plain or gzipped, in transactions of 1,000 rows.

    Args:
        store: Store of the leads.
        clock: Business clock.
        source: The file.
        tenant: Tenant of the leads.
        region: ISO 3166 country of numbers without a country code.
        source_name: Origin of the leads; None means the name of the file.
        timezone: IANA zone of rows without one.
        delimiter: Delimiter of the cells; None detects it.
        columns: Headings by field, for headings that are not in `jobs.lead.columns.ALIASES`.
            Columns without a field become attributes.
        number_of: Source of the numbers if the file has no column for them.
        rejects: The rejects file; None means `NAME.rejects.csv` beside the file.
        progress: Called with the count of rows read so far.

    Raises:
        ValidationError: The file cannot be read as CSV, entirely or in part; the rows before the
            damage are imported. The message names the file and the remedy.
    """
    defaults = Defaults(
        tenant=tenant,
        region=_check_region(region),
        source=source_name or source.name,
        timezone=timezone and normalize_timezone(timezone),
    )
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        header, records = await asyncio.to_thread(
            stack.enter_context, open_csv(source, _check_delimiter(delimiter), is_known)
        )
        layout = Layout.of(source, header, columns)
        if "number" not in layout.fields and number_of is None:
            raise ValidationError(
                f"{source}: no column for the phone number: name its heading or the delimiter, or "
                "rename the column to 'phone'"
            )
        rejects_file = stack.enter_context(RejectsFile(rejects or _default_rejects(source)))
        reader = _RowReader(layout, defaults, number_of, rejects_file)
        chunks = batched(enumerate(records), ROWS_PER_TRANSACTION)
        while chunk := await asyncio.to_thread(next, chunks, None):
            good = await asyncio.to_thread(reader.read, chunk)
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
        rejects_path=rejects_file.path if rejects_file.count else None,
    )


def _check_region(region: str) -> str:
    if not is_region(region):
        raise ValidationError(f"{region!r} is not a region: use two letters, as in 'US'")
    return region


def _check_delimiter(delimiter: str | None) -> str | None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValidationError(f"{delimiter!r} is not a delimiter: use one character, as in ';'")
    return delimiter


def _default_rejects(source: Path) -> Path:
    stem = source.name.removesuffix(".gz").removesuffix(".csv")
    return source.with_name(f"{stem}.rejects.csv")


@dataclass(frozen=True, slots=True)
class _RowReader:
    layout: Layout
    defaults: Defaults
    number_of: NumberOf | None
    rejects: "RejectsFile"

    def read(self, chunk: Sequence[tuple[int, Record]]) -> list[Row]:
        """Return the good rows of a chunk, and write the others to the rejects file."""
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
    by_number = {row.lead.e164: row for row in reversed(rows)}  # the first row of a number wins
    async with store.begin() as work:
        ids = await work.leads.add([row.lead for row in by_number.values()], clock.now())
        await _add_tags(work, ids, by_number)
    return len(ids)


async def _add_tags(work: Work, ids: Mapping[str, UUID], rows: Mapping[str, Row]) -> None:
    leads_by_tags: defaultdict[tuple[Tag, ...], list[UUID]] = defaultdict(list)
    for e164, lead_id in ids.items():
        if rows[e164].tags:
            leads_by_tags[rows[e164].tags].append(lead_id)
    for tags, lead_ids in leads_by_tags.items():
        await work.leads.add_tags(lead_ids, tags)


class RejectsFile:
    """CSV file of rejected rows, created at the first row and readable by its owner only.

    Attributes:
        path: The file.
        count: Rows written.
    """

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
        """Append a row: its line number, and the column, value and reason of the error."""
        file = self._file or self._open()
        cells = (line, error.column, _escape_bytes(error.value), error.reason)
        csv.writer(file).writerow(cells)
        self.count += 1

    def _open(self) -> TextIO:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ValidationError(
                f"{self.path}: cannot write the rejected rows: {error.strerror}: choose another "
                "file"
            ) from None
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        csv.writer(self._file).writerow(REJECT_HEADER)
        return self._file


def _escape_bytes(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
