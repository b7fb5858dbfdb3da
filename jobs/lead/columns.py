"""Columns of a lead file, and the conversion of a row to a lead."""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from jobs.errors import ValidationError
from jobs.lead.csvfile import Record, is_utf8
from jobs.rules.numbers import (
    Tag,
    is_region,
    normalize_e164,
    normalize_email,
    normalize_tags,
)
from jobs.rules.zones import normalize_timezone
from jobs.store.model import Attribute, NewLead

NumberOf = Callable[[int], str]
"""Returns the E.164 number for a row, given the index of the row from 0."""

ALIASES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "number": ("e164", "phone", "number", "phone_number", "telephone", "mobile", "msisdn"),
        "name": ("name", "full_name"),
        "first_name": ("first_name", "firstname", "given_name"),
        "last_name": ("last_name", "lastname", "surname", "family_name"),
        "email": ("email", "e_mail", "email_address"),
        "timezone": ("timezone", "time_zone", "tz"),
        "state": ("state", "province"),
        "postal_code": ("zip", "postal_code", "zip_code", "zipcode", "postcode"),
        "country": ("country", "country_code"),
        "tags": ("tags", "tag", "labels"),
    }
)
"""Headings of each field, the preferred one first; compared without case and punctuation."""

_FIELD_OF: Final = {alias: field for field, aliases in ALIASES.items() for alias in aliases}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][+-]?[0-9]+)?", re.ASCII)
_BEFORE_DIGITS: Final = frozenset("-.0123456789")
_BOOLEAN: Final = {"true": True, "false": False}


class RowError(Exception):
    """A row cannot become a lead.

    Args:
        column: Heading of the column at fault; "" means the whole row.
        value: Text of the cell.
        reason: Reason for the rejects file.
    """

    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason = column, value, reason


@dataclass(frozen=True, slots=True)
class Defaults:
    """Values for every row of a file.

    Attributes:
        tenant: Tenant of the leads.
        region: ISO 3166 country of a number without a country code.
        source: Origin of the leads.
        timezone: IANA zone of a row without one.
    """

    tenant: str
    region: str
    source: str | None
    timezone: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """New lead with its tags."""

    lead: NewLead
    tags: tuple[Tag, ...]


def is_known(heading: str) -> bool:
    """Return True if a heading is the name of a field."""
    return _normalize_heading(heading) in _FIELD_OF


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of the fields in a record.

    Attributes:
        header: Headings of the file.
        fields: Position of each field.
        attributes: Positions of the columns that become attributes of the lead.
    """

    header: Sequence[str]
    fields: Mapping[str, int]
    attributes: Sequence[int]

    @classmethod
    def of(cls, path: Path, header: Sequence[str], columns: Mapping[str, str]) -> "Layout":
        """Return the layout of a header.

        Args:
            path: The file, for error messages.
            header: Headings of the file.
            columns: Headings by field, for headings that are not in ALIASES.

        Raises:
            ValidationError: A heading occurs twice, a field of `columns` is unknown, or its
                heading is missing.
        """
        headings = [heading for heading in header if heading]
        duplicates = sorted({heading for heading in headings if headings.count(heading) > 1})
        if duplicates:
            raise ValidationError(f"{path}: two columns are called {duplicates[0]!r}: rename one")
        positions: dict[str, int] = {}
        keys = [_normalize_heading(heading) for heading in header]
        for field, aliases in ALIASES.items():
            for alias in aliases:
                if alias in keys:
                    positions[field] = keys.index(alias)
                    break
        for field, heading in columns.items():
            if field not in ALIASES:
                raise ValidationError(f"no such field: {field}: use one of {', '.join(ALIASES)}")
            if heading not in header:
                raise ValidationError(f"{path}: no column {heading!r} for the field {field}")
            positions[field] = header.index(heading)
        # The country stays an attribute: no field of a lead holds it.
        used = {position for field, position in positions.items() if field != "country"}
        attributes = [i for i, heading in enumerate(header) if heading and i not in used]
        return cls(header, positions, attributes)

    def read(
        self, record: Record, index: int, number_of: NumberOf | None, defaults: Defaults
    ) -> Row:
        """Return the lead in a record.

        Args:
            record: Record of the file.
            index: Index of the row in the file, from 0.
            number_of: Source of the number if the file has no column for it.
            defaults: Values for every row.

        Raises:
            RowError: The record is broken, or a value is invalid.
        """
        cells = record.cells
        if record.problem is not None:
            raise RowError("", "", record.problem)
        self._check_text(cells)
        if "number" in self.fields or number_of is None:
            number = self._number(cells, defaults.region)
        else:
            number = number_of(index)
        return Row(
            NewLead(
                e164=number,
                tenant=defaults.tenant,
                name=self._name(cells),
                email=self._normalized(cells, "email", normalize_email),
                timezone=self._normalized(cells, "timezone", normalize_timezone)
                or defaults.timezone,
                state=self._cell(cells, "state") or None,
                postal_code=self._cell(cells, "postal_code") or None,
                source=defaults.source,
                attributes={
                    self.header[i]: attribute(text)
                    for i in self.attributes
                    if (text := cells[i].strip())
                },
            ),
            self._tags(cells),
        )

    def _check_text(self, cells: Sequence[str]) -> None:
        row = "".join(cells)
        if row.isascii() and "\0" not in row:
            return
        for heading, cell in zip(self.header, cells, strict=True):
            if "\0" in cell:
                raise RowError(heading, cell, "a NUL character")
            if not is_utf8(cell):
                raise RowError(heading, cell, "bytes that are not UTF-8")

    def _cell(self, cells: Sequence[str], field: str) -> str:
        position = self.fields.get(field)
        return "" if position is None else cells[position].strip()

    def _name(self, cells: Sequence[str]) -> str | None:
        parts = (self._cell(cells, "first_name"), self._cell(cells, "last_name"))
        return self._cell(cells, "name") or " ".join(filter(None, parts)) or None

    def _number(self, cells: Sequence[str], region: str) -> str:
        text = self._cell(cells, "number")
        country = self._cell(cells, "country").upper()
        if country and not text.startswith("+"):
            if not is_region(country):
                raise self._error(
                    "country",
                    country,
                    "not a two-letter country code, needed for a number without +",
                )
            region = country
        try:
            return normalize_e164(text, region)
        except ValidationError as error:
            raise self._error("number", text, str(error)) from None

    def _normalized(
        self, cells: Sequence[str], field: str, normalize: Callable[[str], str]
    ) -> str | None:
        text = self._cell(cells, field)
        if not text:
            return None
        try:
            return normalize(text)
        except ValidationError as error:
            raise self._error(field, text, str(error)) from None

    def _tags(self, cells: Sequence[str]) -> tuple[Tag, ...]:
        text = self._cell(cells, "tags")
        if not text:
            return ()
        try:
            return tuple(normalize_tags(filter(str.strip, re.split(r"[,;|]", text))))
        except ValidationError as error:
            raise self._error("tags", text, str(error)) from None

    def _error(self, field: str, value: str, reason: str) -> RowError:
        return RowError(self.header[self.fields[field]], value, reason)


def attribute(text: str) -> Attribute:
    """Return the number or boolean that a cell contains, or else its text.

    `007` and `+1` stay text: they are codes, not numbers.
    """
    if text[:1] not in _BEFORE_DIGITS:
        return _BOOLEAN.get(text.lower(), text)
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _normalize_heading(heading: str) -> str:
    folded = unicodedata.normalize("NFKC", heading).strip().casefold()
    return re.sub(r"[\W_]+", "_", folded)
