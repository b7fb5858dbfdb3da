"""Protocols of the store. PostgreSQL and the in-memory twin pass the same contract suite.

Methods take many rows at once, so that a batch costs one round trip. Rows are locked in the order
of their ids, so that two batches cannot deadlock.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from jobs.engine.client.request import JobRequest
from jobs.rules.numbers import Tag
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CampaignStatus, EnrolmentStatus
from jobs.store.model import (
    Breakdown,
    Bucket,
    BucketKey,
    Call,
    CallEvent,
    Campaign,
    CampaignTotals,
    Enrolment,
    History,
    Lead,
    LeadFilter,
    NewCall,
    NewEvent,
    NewLead,
    Recording,
)


class Leads(Protocol):
    """Leads, their tags, and suppressed numbers."""

    async def add(self, leads: Sequence[NewLead], now: datetime) -> Mapping[str, UUID]:
        """Add leads whose (tenant, e164) is new; return the ids of the added leads by e164."""
        ...

    async def get(self, lead_id: UUID) -> Lead:
        """Return one record.

        Raises:
            NotFoundError: It does not exist.
        """
        ...

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Lead]:
        """Return the records that exist, in the order of their ids."""
        ...

    async def find(self, tenant: str, e164: str) -> Lead | None:
        """Return the lead with a number."""
        ...

    async def ids(self, where: LeadFilter) -> list[UUID]:
        """Return the ids of the leads that a filter selects."""
        ...

    async def save(self, leads: Sequence[Lead]) -> None:
        """Write every mutable column.

        Raises:
            StaleVersionError: A record was changed since it was read.
        """
        ...

    async def pending_qualification(self, ruleset_version: str, limit: int) -> list[UUID]:
        """Return leads that this rule set has not scored and whose status a score may change."""
        ...

    async def tags(self, ids: Collection[UUID]) -> Mapping[UUID, frozenset[Tag]]:
        """Return the tags of leads."""
        ...

    async def add_tags(self, ids: Collection[UUID], tags: Collection[Tag]) -> int:
        """Add tags, and return the number of new ones. An existing tag keeps its display name."""
        ...

    async def remove_tags(self, ids: Collection[UUID], keys: Collection[str]) -> int:
        """Remove tags by key; return the number removed."""
        ...

    async def suppress(
        self, tenant: str, e164: str, *, reason: str, now: datetime, until: datetime
    ) -> None:
        """Suppress a number. The later `until` wins."""
        ...

    async def suppressed(self, tenant: str, e164s: Collection[str], now: datetime) -> set[str]:
        """Return the numbers that are suppressed at `now`."""
        ...


class Campaigns(Protocol):
    """Campaigns and their enrollments."""

    async def add(self, tenant: str, name: str, policy: CampaignPolicy, now: datetime) -> Campaign:
        """Add a draft.

        Raises:
            ConflictError: The tenant has a campaign of that name.
        """
        ...

    async def get(self, campaign_id: UUID, *, lock: bool = False) -> Campaign:
        """Return one record.

        Raises:
            NotFoundError: It does not exist.
        """
        ...

    async def get_many(self, ids: Collection[UUID]) -> list[Campaign]:
        """Return the campaigns that exist, in the order of their ids."""
        ...

    async def find(self, tenant: str, name: str) -> Campaign | None:
        """Return the campaign with a name."""
        ...

    async def with_status(self, status: CampaignStatus) -> list[Campaign]:
        """Return the campaigns in a state."""
        ...

    async def save(self, campaign: Campaign) -> None:
        """Write every mutable column.

        Raises:
            StaleVersionError: A record was changed since it was read.
        """
        ...

    async def enrol(self, campaign_id: UUID, where: LeadFilter, now: datetime) -> int:
        """Enroll leads that are not enrolled yet; return the number added."""
        ...

    async def due(self, campaign_id: UUID, now: datetime, limit: int) -> list[Enrolment]:
        """Return enrollments that are queued, or whose `next_at` has come, the earliest first.

        They are locked; those that another transaction holds are skipped.
        """
        ...

    async def enrolments(self, ids: Collection[UUID], *, lock: bool = False) -> list[Enrolment]:
        """Return the records that exist, in the order of their ids."""
        ...

    async def enrolments_of(self, lead_id: UUID) -> list[Enrolment]:
        """Return the enrollments of a lead in all campaigns, unlocked.

        To lock the enrollments of several leads in one order, pass all ids to `enrolments`.
        """
        ...

    async def save_enrolments(self, enrolments: Sequence[Enrolment]) -> None:
        """Write every mutable column.

        Raises:
            StaleVersionError: A record was changed since it was read.
        """
        ...

    async def move_enrolments(
        self, campaign_id: UUID, old: Collection[EnrolmentStatus], new: EnrolmentStatus
    ) -> int:
        """Move all enrollments of a campaign from the states `old` to `new`; return the number."""
        ...

    async def progress(self, campaign_id: UUID) -> Mapping[EnrolmentStatus, int]:
        """Return the number of enrollments by state."""
        ...


class Calls(Protocol):
    """Calls, the provider's events, and recordings."""

    async def add(self, calls: Sequence[NewCall], now: datetime) -> None:
        """Add scheduled calls.

        Raises:
            ConflictError: An attempt already has a call.
        """
        ...

    async def get(self, call_id: UUID) -> Call:
        """Return one record.

        Raises:
            NotFoundError: It does not exist.
        """
        ...

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Call]:
        """Return the records that exist, in the order of their ids."""
        ...

    async def by_provider_id(self, provider_ids: Collection[str]) -> Mapping[str, UUID]:
        """Return the ids of the calls that are linked to provider ids."""
        ...

    async def save(self, calls: Sequence[Call]) -> None:
        """Write every mutable column.

        Raises:
            StaleVersionError: A call was changed since it was read.
            ConflictError: A provider id is linked twice.
        """
        ...

    async def dials(
        self, tenant: str, lead_ids: Collection[UUID], since: datetime
    ) -> Mapping[UUID, int]:
        """Return the calls to each lead since a time, over all campaigns."""
        ...

    async def in_flight(self, campaign_id: UUID) -> int:
        """Return the number of calls that are scheduled or have not ended."""
        ...

    async def open_calls_of(self, lead_id: UUID) -> list[Call]:
        """Return the scheduled calls of a lead that are not dialed yet.

        They are locked; those that another transaction holds are skipped.
        """
        ...

    async def ended_since(self, campaign_id: UUID, since: datetime) -> tuple[int, int]:
        """Return (carrier failures, calls) that ended since a time, for the breaker.

        Calls without a request to a provider say nothing about carriers and are left out.
        """
        ...

    async def record_events(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        """Store events that are new; return them."""
        ...

    async def unapplied_events(self, call_ids: Collection[UUID]) -> list[CallEvent]:
        """Return the unapplied events of calls, by call id or linked provider id, by sequence."""
        ...

    async def mark_applied(self, event_ids: Collection[int], now: datetime) -> None:
        """Mark events as applied."""
        ...

    async def link_events(self, links: Mapping[str, UUID]) -> set[UUID]:
        """Link events without a call id to calls, by provider id; return the calls that got any."""
        ...

    async def overdue(
        self,
        *,
        scheduled_before: datetime,
        dialed_before: datetime,
        limit: int,
        after: UUID | None = None,
    ) -> list[Call]:
        """Return calls that should have moved on, in the order of their ids.

        Args:
            scheduled_before: Calls that are still scheduled though due before this time.
            dialed_before: Calls dialed before this time that have not ended, or whose end is not
                processed.
            limit: The number of calls at most.
            after: Only calls with greater ids.
        """
        ...

    async def with_unapplied_events(
        self, received_before: datetime, limit: int, after: UUID | None = None
    ) -> list[Call]:
        """Return calls with unapplied events, in the order of their ids, after `after`."""
        ...

    async def unfetched_recordings(
        self, *, received_after: datetime, received_before: datetime, limit: int
    ) -> list[CallEvent]:
        """Return applied events about recordings that were not fetched, with their call."""
        ...

    async def mark_fetched(self, call_id: UUID, recording_id: str, now: datetime) -> None:
        """Mark a recording of a call as stored or given up."""
        ...

    async def add_recording(self, recording: Recording) -> bool:
        """Add a recording; return False if it was stored before."""
        ...

    async def recordings(self, call_id: UUID) -> list[Recording]:
        """Return the recordings of a call."""
        ...


class Analytics(Protocol):
    """Rollups, and the figures of reports."""

    async def touched_buckets(self, after: int, overlap: int) -> tuple[set[BucketKey], int]:
        """Return buckets that have changed, and a new cursor.

        Args:
            after: The cursor of the last rollup, a change number.
            overlap: Change numbers before it that are looked at again.

        Returns:
            The buckets of the calls written since, and the change number up to which every call was
            seen, however long its transaction took.
        """
        ...

    async def cursor(self, name: str) -> int:
        """Return a cursor; 0 before the first move."""
        ...

    async def move_cursor(self, name: str, position: int) -> None:
        """Move a cursor."""
        ...

    async def compute(self, keys: Collection[BucketKey]) -> list[Bucket]:
        """Compute buckets from the calls; zeros for buckets without calls."""
        ...

    async def put(self, buckets: Sequence[Bucket]) -> None:
        """Replace the stored buckets with the same keys."""
        ...

    async def buckets(
        self, campaign_id: UUID | None, start: datetime | None, end: datetime | None
    ) -> list[Bucket]:
        """Return stored buckets with start <= starts_at < end."""
        ...

    async def totals(self, campaign_id: UUID) -> CampaignTotals:
        """Return the figures of a campaign."""
        ...

    async def columns(self, campaign_id: UUID) -> list[str]:
        """Return the names of the attributes of a campaign's leads."""
        ...

    async def breakdown(self, campaign_id: UUID, column: str) -> list[Breakdown]:
        """Return the figures of a campaign by value of a column.

        Args:
            campaign_id: The campaign.
            column: An attribute of the leads, or `status`, `state`, `timezone`, `temperature` or
                `source`.

        Returns:
            Leads from the enrollments, the rest from the calls. Leads without a value count
            under "".
        """
        ...

    async def histories(self, campaign_id: UUID) -> list[History]:
        """Return the histories of a campaign's leads, the most frequent first."""
        ...

    async def save_report(self, name: str, body: Mapping[str, object], now: datetime) -> None:
        """Replace the report of a name."""
        ...

    async def report(self, name: str) -> Mapping[str, object] | None:
        """Return the report of a name."""
        ...


class Work(Protocol):
    """A transaction. Follow-up jobs that it enqueues commit with it."""

    @property
    def leads(self) -> Leads: ...
    @property
    def campaigns(self) -> Campaigns: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def analytics(self) -> Analytics: ...

    def enqueue(
        self, function: str, /, *args: object, defer_until: datetime | None = None, **kwargs: object
    ) -> UUID:
        """Enqueue a follow-up job, which is published after the commit; return its job id."""
        ...


class Store(Protocol):
    """The store: the source of truth."""

    def begin(self) -> AbstractAsyncContextManager[Work]:
        """Open a transaction: a clean exit commits and publishes, an exception rolls back."""
        ...

    async def relay(self, older_than: timedelta, limit: int = 1000) -> int:
        """Publish jobs that a crash left in the outbox, the oldest first.

        Args:
            older_than: Real time since the job was written.
            limit: The number of jobs at most.

        Returns:
            The number of jobs; 0 also while another process relays.
        """
        ...

    def keep_relaying(self) -> None:
        """Relay in the background until the store is closed.

        Jobs that a crash left are published within about two seconds.
        """
        ...

    async def outbox_size(self) -> int:
        """Return the number of unpublished jobs."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Publish(Protocol):
    """Enqueues jobs in order. Publishing a job twice must be harmless."""

    async def __call__(self, jobs: Sequence[JobRequest], /) -> object: ...
