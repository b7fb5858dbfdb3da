"""The rows as frozen records: what crosses the border between the store and the domains.

Every moment is timezone-aware UTC. A record's `version` is the one it was read with; saving it
raises it by one, and a save of an outdated version is a StaleVersionError.

What is personal of a lead is left out of a record's repr, which ends up in logs and errors.
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
    """A person to be added; `e164` is normalised already, and unique within the tenant."""

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
        """The IANA zones in which the lead may be; none when that is unknown."""
        return zones_of(
            timezone=self.timezone,
            state=self.state,
            postal_code=self.postal_code,
            e164=self.e164,
        )

    @property
    def region(self) -> str | None:
        """ISO 3166, such as `US-AL`; None when it is unknown."""
        return region_of(state=self.state, postal_code=self.postal_code, e164=self.e164)

    def window(self, rules: WindowRules) -> LocalWindow:
        """When this lead may be called under `rules`."""
        return LocalWindow(rules, self.zones, self.region)


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """Which leads of a tenant; every condition given must hold. Tags are keys."""

    tenant: str = "default"
    tags: frozenset[str] = frozenset()
    """All of these."""
    temperatures: frozenset[Temperature] = frozenset()
    """One of these, where any is named."""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A list of leads to be called under one policy."""

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
    """Calls that count towards the attempt cap."""
    calls: int
    """Calls made so far; the number of the last one."""
    tries: Mapping[Disposition, int]
    """How often each disposition has ended a call."""
    next_at: datetime | None
    """The first moment of the next call, while one is to come."""
    version: int


@dataclass(frozen=True, slots=True)
class NewCall:
    """One attempt to be made. (enrolment_id, number) is unique: one call an attempt."""

    id: UUID
    tenant: str
    campaign_id: UUID
    enrolment_id: UUID
    lead_id: UUID
    number: int
    """1 for the enrolment's first call."""
    scheduled_for: datetime
    zone: str = ""
    """Whose clock the figures go by: the called party's IANA zone, or "" where it is unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt. Its `id` is the idempotency key that the provider is given."""

    id: UUID
    tenant: str
    campaign_id: UUID
    enrolment_id: UUID
    lead_id: UUID
    number: int
    status: CallStatus
    scheduled_for: datetime
    dialed_at: datetime | None
    """When the intent was written; the provider was asked after that."""
    requests: int
    """How often the provider was asked; more than one only after it refused."""
    refused_until: datetime | None
    """Set while the provider's last answer was a refusal: asking again is safe after it."""
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
    """When the call's end was carried over to its enrolment."""
    created_at: datetime
    version: int


class EventKind(StrEnum):
    """What a provider's callback tells of."""

    STATUS = "status"
    MACHINE_DETECTION = "machine-detection"
    RECORDING = "recording"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A provider's callback, as received. (provider_id, kind, sequence) is unique.

    call_id: the attempt, which travels in the callback's URL; None where it did not.
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
    """A call's recording, as it lies in the recordings folder."""

    call_id: UUID
    provider_id: str
    """The provider's name of the recording; unique."""
    path: str
    sha256: str
    size: int
    """Bytes."""
    stored_at: datetime


class BucketKey(NamedTuple):
    """A quarter of an hour, in UTC, of one campaign and one zone of the called parties."""

    campaign_id: UUID
    starts_at: datetime
    zone: str
    """The leads' IANA zone, or "" where it is unknown."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Sums and counts over the calls whose `dialed_at` lies in the bucket and that were placed."""

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
    """A campaign's figures, read from enrolments and calls (not from the buckets)."""

    leads: int
    """Enrolled."""
    leads_tried: int
    leads_reached: int
    """Reached by a human-answered call."""
    attempts: int
    """Calls that the provider accepted."""
    ended: int
    """Of these, in a terminal state."""
    answered: int
    answered_by_human: int
    conversions: int
    seconds: int
    price: Decimal
    enrolments: Mapping[EnrolmentStatus, int]
    calls: Mapping[CallStatus, int]
    dispositions: Mapping[Disposition, int]


class Attempt(NamedTuple):
    """One call of an enrolment, as far as a history needs it."""

    status: CallStatus
    disposition: Disposition | None
    """None until the call's end was carried over to its enrolment."""
    outcome: CallOutcome | None


@dataclass(frozen=True, slots=True)
class History:
    """What happened to some leads of a campaign, all in the same way."""

    leads: int
    """How many they are."""
    lead: LeadStatus
    enrolment: EnrolmentStatus
    calls: int
    """As the enrolment counts them."""
    attempts: tuple[Attempt, ...]
    """The calls that are there, by their number."""
