"""What a store offers: PostgreSQL and the in-memory twin both do, and pass the same contract suite.

Methods take many rows at once where a job may have many, so that a batch costs one round trip.
Rows are locked in the order of their ids, so that two batches cannot deadlock.
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
    """People, their tags, and whom not to call."""

    async def add(self, leads: Sequence[NewLead], now: datetime) -> Mapping[str, UUID]:
        """Adds those whose (tenant, e164) is new; answers the ids of the added, by e164."""
        ...

    async def get(self, lead_id: UUID) -> Lead:
        """Raises NotFoundError."""
        ...

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Lead]:
        """Those that exist, in the order of their ids."""
        ...

    async def find(self, tenant: str, e164: str) -> Lead | None: ...

    async def ids(self, where: LeadFilter) -> list[UUID]: ...

    async def save(self, leads: Sequence[Lead]) -> None:
        """Writes every mutable column. Raises StaleVersionError when one was changed since."""
        ...

    async def pending_qualification(self, ruleset_version: str, limit: int) -> list[UUID]:
        """Leads never scored by this rule set whose status may still change by a score."""
        ...

    async def tags(self, ids: Collection[UUID]) -> Mapping[UUID, frozenset[Tag]]: ...

    async def add_tags(self, ids: Collection[UUID], tags: Collection[Tag]) -> int:
        """How many were new; a tag that is there keeps its display name."""
        ...

    async def remove_tags(self, ids: Collection[UUID], keys: Collection[str]) -> int: ...

    async def suppress(
        self, tenant: str, e164: str, *, reason: str, now: datetime, until: datetime
    ) -> None:
        """Do not call this number; the later `until` wins."""
        ...

    async def suppressed(self, tenant: str, e164s: Collection[str], now: datetime) -> set[str]:
        """Which of the numbers are suppressed at `now`."""
        ...


class Campaigns(Protocol):
    """Campaigns and their enrolments."""

    async def add(self, tenant: str, name: str, policy: CampaignPolicy, now: datetime) -> Campaign:
        """A draft. Raises ConflictError when the tenant has a campaign of that name."""
        ...

    async def get(self, campaign_id: UUID, *, lock: bool = False) -> Campaign:
        """Raises NotFoundError."""
        ...

    async def get_many(self, ids: Collection[UUID]) -> list[Campaign]: ...

    async def find(self, tenant: str, name: str) -> Campaign | None: ...

    async def with_status(self, status: CampaignStatus) -> list[Campaign]: ...

    async def save(self, campaign: Campaign) -> None:
        """Raises StaleVersionError."""
        ...

    async def enrol(self, campaign_id: UUID, where: LeadFilter, now: datetime) -> int:
        """Queues the leads that are not enrolled yet; answers how many were added."""
        ...

    async def due(self, campaign_id: UUID, now: datetime, limit: int) -> list[Enrolment]:
        """Queued, or waiting with `next_at` reached; the earliest first; locked, skipping those
        that another transaction holds."""
        ...

    async def enrolments(self, ids: Collection[UUID], *, lock: bool = False) -> list[Enrolment]:
        """Those that exist, in the order of their ids."""
        ...

    async def enrolments_of(self, lead_id: UUID) -> list[Enrolment]:
        """Those of the lead in all campaigns, unlocked: to lock the enrolments of several leads
        in one order, pass the ids of all to `enrolments`."""
        ...

    async def save_enrolments(self, enrolments: Sequence[Enrolment]) -> None:
        """Raises StaleVersionError."""
        ...

    async def move_enrolments(
        self, campaign_id: UUID, old: Collection[EnrolmentStatus], new: EnrolmentStatus
    ) -> int:
        """All of a campaign's enrolments in one of the states `old` become `new`."""
        ...

    async def progress(self, campaign_id: UUID) -> Mapping[EnrolmentStatus, int]: ...


class Calls(Protocol):
    """Attempts, the provider's events, and recordings."""

    async def add(self, calls: Sequence[NewCall], now: datetime) -> None:
        """Scheduled calls. Raises ConflictError when an attempt has a call already."""
        ...

    async def get(self, call_id: UUID) -> Call:
        """Raises NotFoundError."""
        ...

    async def get_many(self, ids: Collection[UUID], *, lock: bool = False) -> list[Call]:
        """Those that exist, in the order of their ids."""
        ...

    async def by_provider_id(self, provider_ids: Collection[str]) -> Mapping[str, UUID]:
        """The ids of the calls that are linked to these provider ids."""
        ...

    async def save(self, calls: Sequence[Call]) -> None:
        """Raises StaleVersionError; ConflictError when a provider id is linked twice."""
        ...

    async def dials(
        self, tenant: str, lead_ids: Collection[UUID], since: datetime
    ) -> Mapping[UUID, int]:
        """How often each lead (one number each) was dialled since then, in all campaigns."""
        ...

    async def in_flight(self, campaign_id: UUID) -> int:
        """Calls that are scheduled or not ended yet."""
        ...

    async def open_calls_of(self, lead_id: UUID) -> list[Call]:
        """The lead's calls that are scheduled and not dialled yet; locked, skipping those that
        another transaction holds."""
        ...

    async def ended_since(self, campaign_id: UUID, since: datetime) -> tuple[int, int]:
        """(carrier failures, calls) that ended since then: what the breaker looks at. Calls that no
        provider was ever asked for say nothing of the carriers, and are left out."""
        ...

    async def record_events(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        """Stores those not seen before; answers them."""
        ...

    async def unapplied_events(self, call_ids: Collection[UUID]) -> list[CallEvent]:
        """Of these calls (by call id, or by a linked provider id); in order of sequence."""
        ...

    async def mark_applied(self, event_ids: Collection[int], now: datetime) -> None: ...

    async def link_events(self, links: Mapping[str, UUID]) -> set[UUID]:
        """Gives events that came without a call id their call, by provider id; answers the
        calls that got any."""
        ...

    async def overdue(
        self,
        *,
        scheduled_before: datetime,
        dialed_before: datetime,
        limit: int,
        after: UUID | None = None,
    ) -> list[Call]:
        """Calls that should have moved on: still scheduled though due before the first moment,
        dialled before the second and not ended, or ended and not processed. In the order of
        their ids, those greater than `after`."""
        ...

    async def with_unapplied_events(
        self, received_before: datetime, limit: int, after: UUID | None = None
    ) -> list[Call]:
        """In the order of their ids, those greater than `after`."""
        ...

    async def unfetched_recordings(
        self, *, received_after: datetime, received_before: datetime, limit: int
    ) -> list[CallEvent]:
        """Applied events, with their call, that tell of a recording that was not fetched."""
        ...

    async def mark_fetched(self, call_id: UUID, recording_id: str, now: datetime) -> None:
        """Nothing is left to do about this recording of the call."""
        ...

    async def add_recording(self, recording: Recording) -> bool:
        """False when this recording was stored before."""
        ...

    async def recordings(self, call_id: UUID) -> list[Recording]: ...


class Analytics(Protocol):
    """Rollups, and the figures that reports are made of."""

    async def touched_buckets(self, after: int, overlap: int) -> tuple[set[BucketKey], int]:
        """The buckets of the calls written after change number `after - overlap`, and the
        change number up to which every call was seen, however long its transaction took."""
        ...

    async def cursor(self, name: str) -> int:
        """0 before the first time."""
        ...

    async def move_cursor(self, name: str, position: int) -> None: ...

    async def compute(self, keys: Collection[BucketKey]) -> list[Bucket]:
        """The buckets as the calls say now; zeros where no call is left."""
        ...

    async def put(self, buckets: Sequence[Bucket]) -> None:
        """Replaces the stored buckets of the same keys."""
        ...

    async def buckets(
        self, campaign_id: UUID | None, start: datetime | None, end: datetime | None
    ) -> list[Bucket]:
        """Stored buckets with start <= starts_at < end."""
        ...

    async def totals(self, campaign_id: UUID) -> CampaignTotals: ...

    async def columns(self, campaign_id: UUID) -> list[str]:
        """The names of the attributes of the campaign's leads."""
        ...

    async def breakdown(self, campaign_id: UUID, column: str) -> list[Breakdown]:
        """For each value of an attribute of the leads (or of `status`, `state`, `timezone`,
        `temperature`, `source`); leads from the enrolments, the rest from the calls. A lead
        without the value, or whose value is None, is counted under ""."""
        ...

    async def histories(self, campaign_id: UUID) -> list[History]:
        """Every lead of the campaign with its calls; those of the same history counted together,
        the most frequent history first."""
        ...

    async def save_report(self, name: str, body: Mapping[str, object], now: datetime) -> None:
        """Replaces the report of that name."""
        ...

    async def report(self, name: str) -> Mapping[str, object] | None: ...


class Work(Protocol):
    """One transaction. Follow-up jobs that are enqueued in it commit with it."""

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
        """A follow-up job, published right after the commit; answers its job id."""
        ...


class Store(Protocol):
    """Where the truth lies."""

    def begin(self) -> AbstractAsyncContextManager[Work]:
        """A transaction: a clean exit commits and publishes, an exception rolls back."""
        ...

    async def relay(self, older_than: timedelta, limit: int = 1000) -> int:
        """Publishes what a crash left in the outbox, the oldest first; answers how many jobs.

        0 also while another process is at it. older_than: real time since the job was written.
        """
        ...

    def keep_relaying(self) -> None:
        """From now on, until it is closed, this store looks for what was left by itself whenever
        some process has written follow-ups, and has it published within about two seconds."""
        ...

    async def outbox_size(self) -> int: ...

    async def close(self) -> None: ...


class Publish(Protocol):
    """Puts jobs into their queues, in order; publishing one twice must be harmless."""

    async def __call__(self, jobs: Sequence[JobRequest], /) -> object: ...
