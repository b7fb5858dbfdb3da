"""What the columns of a lead file mean, and how a row of it becomes a lead."""

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
    normalise_e164,
    normalise_email,
    normalise_tag,
)
from jobs.rules.zones import normalise_timezone
from jobs.store.model import Attribute, NewLead

NumberOf = Callable[[int], str]
"""The E.164 number of the lead in the row of this index, from 0."""

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
"""Each field's names in a header, the most telling first; compared without case and spacing."""

_FIELD_OF: Final = {alias: field for field, aliases in ALIASES.items() for alias in aliases}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][+-]?[0-9]+)?", re.ASCII)
_BEFORE_DIGITS: Final = frozenset("-.0123456789")
_BOOLEAN: Final = {"true": True, "false": False}


class RowError(Exception):
    """A row cannot become a lead. column: its heading, or "" where the whole row is meant."""

    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason = column, value, reason


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every row of a file. region: where a number without a country code is."""

    tenant: str
    region: str
    source: str | None
    timezone: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A lead to be added, with its tags."""

    lead: NewLead
    tags: tuple[Tag, ...]


def is_known(heading: str) -> bool:
    """Whether a column of this heading means something here."""
    return _key(heading) in _FIELD_OF


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a record each field stands. attributes: the columns that are none of ours."""

    header: Sequence[str]
    fields: Mapping[str, int]
    attributes: Sequence[int]

    @classmethod
    def of(cls, path: Path, header: Sequence[str], columns: Mapping[str, str]) -> "Layout":
        """The layout of a header. columns: headings by field, where an alias is not enough.

        Raises ValidationError when a heading is there twice, or one of `columns` is not there.
        """
        named = [heading for heading in header if heading]
        twice = sorted({heading for heading in named if named.count(heading) > 1})
        if twice:
            raise ValidationError(f"{path}: two columns are called {twice[0]!r}: rename one")
        places: dict[str, int] = {}
        keys = [_key(heading) for heading in header]
        for field, aliases in ALIASES.items():
            found = [keys.index(alias) for alias in aliases if alias in keys]
            if found:
                places[field] = found[0]
        for field, heading in columns.items():
            if field not in ALIASES:
                raise ValidationError(f"no such field: {field} (there are {', '.join(ALIASES)})")
            if heading not in header:
                raise ValidationError(f"{path}: there is no column {heading!r} for the {field}")
            places[field] = header.index(heading)
        taken = set(places.values())
        if "country" in places:
            taken.discard(places["country"])
        free = [i for i, heading in enumerate(header) if heading and i not in taken]
        return cls(header, places, free)

    def read(
        self, record: Record, index: int, number_of: NumberOf | None, defaults: Defaults
    ) -> Row:
        """The lead in a record. index: of the row in the file. Raises RowError."""
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
                email=self._normalised(cells, "email", normalise_email),
                timezone=self._normalised(cells, "timezone", normalise_timezone)
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
        whole = "".join(cells)
        if whole.isascii() and "\0" not in whole:
            return
        for heading, cell in zip(self.header, cells, strict=True):
            if "\0" in cell:
                raise RowError(heading, cell, "a NUL character")
            if not is_utf8(cell):
                raise RowError(heading, cell, "bytes that are not UTF-8")

    def _cell(self, cells: Sequence[str], field: str) -> str:
        place = self.fields.get(field)
        return "" if place is None else cells[place].strip()

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
                    "not a two-letter country code, which a number without its + needs",
                )
            region = country
        try:
            return normalise_e164(text, region)
        except ValidationError as error:
            raise self._error("number", text, str(error)) from None

    def _normalised(
        self, cells: Sequence[str], field: str, normalise: Callable[[str], str]
    ) -> str | None:
        text = self._cell(cells, field)
        if not text:
            return None
        try:
            return normalise(text)
        except ValidationError as error:
            raise self._error(field, text, str(error)) from None

    def _tags(self, cells: Sequence[str]) -> tuple[Tag, ...]:
        text = self._cell(cells, "tags")
        if not text:
            return ()
        try:
            tags = [normalise_tag(name) for name in re.split(r"[,;|]", text) if name.strip()]
        except ValidationError as error:
            raise self._error("tags", text, str(error)) from None
        return tuple({tag.key: tag for tag in reversed(tags)}.values())

    def _error(self, field: str, value: str, reason: str) -> RowError:
        return RowError(self.header[self.fields[field]], value, reason)


def attribute(text: str) -> Attribute:
    """A cell as the number or truth value that it spells, else as text.

    `007` and `+1` stay text, since they are codes rather than numbers.
    """
    if text[:1] not in _BEFORE_DIGITS:
        return _BOOLEAN.get(text.lower(), text)
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _key(heading: str) -> str:
    folded = unicodedata.normalize("NFKC", heading).strip().casefold()
    return re.sub(r"[\W_]+", "_", folded)
