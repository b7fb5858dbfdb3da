"""The tables of the store in memory: one dict of frozen records per table."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from jobs.errors import ConflictError, StaleVersionError
from jobs.rules.numbers import Tag
from jobs.store.model import (
    Bucket,
    BucketKey,
    Call,
    CallEvent,
    Campaign,
    Enrolment,
    Lead,
    Recording,
)

R = TypeVar("R", Lead, Enrolment, Call, Campaign)


@dataclass(frozen=True, slots=True)
class State:
    """All tables. A transaction works on a copy, which replaces the original on commit."""

    leads: dict[UUID, Lead] = field(default_factory=dict)
    numbers: dict[tuple[str, str], UUID] = field(default_factory=dict)
    """Leads by (tenant, e164)."""
    tags: dict[tuple[UUID, str], Tag] = field(default_factory=dict)
    """Tags by lead and key."""
    suppressions: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """Ends of suppressions by (tenant, e164)."""
    campaigns: dict[UUID, Campaign] = field(default_factory=dict)
    enrolments: dict[UUID, Enrolment] = field(default_factory=dict)
    calls: dict[UUID, Call] = field(default_factory=dict)
    zones: dict[UUID, str] = field(default_factory=dict)
    """The lead's zone at the time that a call was added, by call."""
    changes: dict[UUID, int] = field(default_factory=dict)
    """The number of the transaction that wrote a call last, by call."""
    events: dict[int, CallEvent] = field(default_factory=dict)
    applied: dict[int, datetime] = field(default_factory=dict)
    """Times at which events were applied, by id."""
    fetched: set[int] = field(default_factory=set)
    """Events whose recording was stored or given up."""
    recordings: dict[str, Recording] = field(default_factory=dict)
    buckets: dict[BucketKey, Bucket] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    """Reports as JSON, by name."""

    def copy(self) -> "State":
        return State(*(getattr(self, table.name).copy() for table in fields(self)))


def by_id(table: dict[UUID, R], ids: Iterable[UUID]) -> list[R]:
    """Return the records that exist, in the order of their ids."""
    return [table[id_] for id_ in sorted(set(ids)) if id_ in table]


def save(table: dict[UUID, R], kind: str, records: Sequence[R]) -> None:
    """Replace records by their new versions.

    Raises:
        StaleVersionError: A record was changed since it was read.
    """
    for record in records:
        stored = table.get(record.id)
        if stored is None or stored.version != record.version:
            raise StaleVersionError(f"{kind} {record.id} was changed since it was read")
        changes: dict[str, Any] = {"version": record.version + 1}
        table[record.id] = replace(record, **changes)


def refuse_duplicates(keys: Iterable[Hashable], names: str) -> None:
    """Check a unique key.

    Raises:
        ConflictError: The key occurs twice.
    """
    if any(count > 1 for count in Counter(keys).values()):
        raise ConflictError(f"a row with the same key is there already ({names})")
