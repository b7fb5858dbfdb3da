"""Rows as frozen records, which the store and the domains exchange.

Every time is timezone-aware UTC. A record keeps the `version` that it was read with. Saving raises
the version by one; saving an outdated version raises StaleVersionError.

Personal data is left out of the repr of a record, which ends up in logs and errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.numbers import Temperature
from jobs.rules.policy import CampaignPolicy
from jobs.rules.scoring import Evidence
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.rules.windows import LocalWindow, WindowRules
from jobs.rules.zones import region_of, zones_of

Attribute = str | int | float | bool | None
"""A value of a lead's free columns."""


@dataclass(frozen=True, slots=True)
class NewLead:
    """A person to add. The number is normalized, and unique within the tenant."""

    e164: str = field(repr=False)
    tenant: str = "default"
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    timezone: str | None = None
    state: str | None = None
    postal_code: str | None = None
    source: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Lead:
    """A person, across campaigns."""

    id: UUID
    tenant: str
    e164: str = field(repr=False)
    name: str | None = field(repr=False)
    email: str | None = field(repr=False)
    timezone: str | None
    state: str | None
    postal_code: str | None
    source: str | None
    attributes: Mapping[str, Attribute] = field(repr=False)
    status: LeadStatus
    score: int | None
    """0 to 100; None until qualified."""
    temperature: Temperature | None
    evidence: tuple[Evidence, ...]
    ruleset_version: str | None
    created_at: datetime
    updated_at: datetime
    last_contacted_at: datetime | None
    version: int

    @property
    def zones(self) -> tuple[str, ...]:
        """The IANA zones in which the lead may be; empty if they are unknown."""
        return zones_of(
            timezone=self.timezone,
            state=self.state,
            postal_code=self.postal_code,
            e164=self.e164,
        )

    @property
    def region(self) -> str | None:
        """The ISO 3166 region, such as `US-AL`; None if it is unknown."""
        return region_of(state=self.state, postal_code=self.postal_code, e164=self.e164)

    def window(self, rules: WindowRules) -> LocalWindow:
        """Return the calling window of the lead under `rules`."""
        return LocalWindow(rules, self.zones, self.region)


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """A filter over the leads of a tenant. Every condition that is set must hold; tags are keys."""

    tenant: str = "default"
    tags: frozenset[str] = frozenset()
    """The lead has all of these."""
    temperatures: frozenset[Temperature] = frozenset()
    """The lead has one of these; empty for any."""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A list of leads that are called under one policy."""

    id: UUID
    tenant: str
    name: str
    """Unique within the tenant."""
    status: CampaignStatus
    policy: CampaignPolicy
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A lead in a campaign."""

    id: UUID
    campaign_id: UUID
    lead_id: UUID
    status: EnrolmentStatus
    attempts: int
    """Calls that count toward the cap on attempts."""
    calls: int
    """Calls so far, which is the number of the last call."""
    tries: Mapping[Disposition, int]
    """Calls by the disposition that ended them."""
    next_at: datetime | None
    """The earliest time of the next call, if there is one."""
    version: int


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call to schedule. (enrolment_id, number) is unique: one call per attempt."""

    id: UUID
    tenant: str
    campaign_id: UUID
    enrolment_id: UUID
    lead_id: UUID
    number: int
    """1 for the first call of the enrollment."""
    scheduled_for: datetime
    zone: str = ""
    """The called party's IANA zone, for figures by local time; "" if it is unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call. Its `id` is the idempotency key of the request to the provider."""

    id: UUID
    tenant: str
    campaign_id: UUID
    enrolment_id: UUID
    lead_id: UUID
    number: int
    status: CallStatus
    scheduled_for: datetime
    dialed_at: datetime | None
    """The time at which the intent was written, before the request to the provider."""
    requests: int
    """Requests to the provider; more than one only after a refusal."""
    refused_until: datetime | None
    """Set after a refusal: from this time on, another request is safe."""
    provider_id: str | None
    sequence: int
    """The highest sequence number of an applied status event; -1 before the first."""
    answered_at: datetime | None
    ended_at: datetime | None
    duration: int | None
    """Seconds of conversation."""
    answered_by: AnsweredBy | None
    outcome: CallOutcome | None
    sip_code: int | None
    price: Decimal | None
    disposition: Disposition | None
    callback_at: datetime | None
    processed_at: datetime | None
    """The time at which the call's end was applied to its enrollment."""
    created_at: datetime
    version: int


class EventKind(StrEnum):
    """The kind of a provider's callback."""

    STATUS = "status"
    MACHINE_DETECTION = "machine-detection"
    RECORDING = "recording"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A provider's callback, as received. (provider_id, kind, sequence) is unique.

    Attributes:
        provider_id: The provider's id of the call.
        kind: The kind of the callback.
        sequence: The provider's sequence number.
        call_id: The call, from the callback's URL; None if the URL had none.
        payload: The callback's content.
        received_at: The time of receipt.
    """

    provider_id: str
    kind: EventKind
    sequence: int
    call_id: UUID | None
    payload: Mapping[str, Attribute]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A stored callback; `id` grows in the order of arrival."""

    id: int
    provider_id: str
    kind: EventKind
    sequence: int
    call_id: UUID | None
    payload: Mapping[str, Attribute]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """A stored recording of a call."""

    call_id: UUID
    provider_id: str
    """The provider's id of the recording; unique."""
    path: str
    sha256: str
    size: int
    """Bytes."""
    stored_at: datetime


class BucketKey(NamedTuple):
    """A quarter of an hour in UTC, for one campaign and one zone of the called parties."""

    campaign_id: UUID
    starts_at: datetime
    zone: str
    """The leads' IANA zone; "" if it is unknown."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums and counts over the placed calls whose `dialed_at` lies in the bucket."""

    key: BucketKey
    attempts: int
    answered: int
    answered_by_human: int
    conversions: int
    seconds: int
    carrier_failures: int
    price: Decimal


class Breakdown(NamedTuple):
    """A campaign's figures for one value of one column of its leads."""

    value: str
    leads: int
    attempts: int
    conversions: int
    seconds: int


@dataclass(frozen=True, slots=True)
class CampaignTotals:
    """The figures of a campaign, from enrollments and calls instead of buckets."""

    leads: int
    """Enrolled leads."""
    leads_tried: int
    leads_reached: int
    """Leads that a human-answered call reached."""
    attempts: int
    """Calls that the provider accepted."""
    ended: int
    """Accepted calls that have ended."""
    answered: int
    answered_by_human: int
    conversions: int
    seconds: int
    price: Decimal
    enrolments: Mapping[EnrolmentStatus, int]
    calls: Mapping[CallStatus, int]
    dispositions: Mapping[Disposition, int]


class Attempt(NamedTuple):
    """A call of an enrollment, as a history needs it."""

    status: CallStatus
    disposition: Disposition | None
    """None until the call's end was applied to its enrollment."""
    outcome: CallOutcome | None


@dataclass(frozen=True, slots=True)
class History:
    """Leads of a campaign with the same course of calls."""

    leads: int
    """The number of leads."""
    lead: LeadStatus
    enrolment: EnrolmentStatus
    calls: int
    """Calls, as the enrollment counts them."""
    attempts: tuple[Attempt, ...]
    """The calls in the order of their numbers."""
