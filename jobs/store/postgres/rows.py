"""Rows to records. Hot rows skip validation: the database has checked them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from jobs.rules.dispositions import AnsweredBy, CallOutcome, Disposition
from jobs.rules.numbers import Temperature
from jobs.rules.policy import CampaignPolicy
from jobs.rules.scoring import Evidence
from jobs.rules.states import CallStatus, CampaignStatus, EnrolmentStatus, LeadStatus
from jobs.store.model import Call, CallEvent, Campaign, Enrolment, EventKind, Lead, Recording

E = TypeVar("E", bound=StrEnum)

Pairs = Iterable[tuple[str | None, int]]
"""Values, each with its number of rows."""

_evidence = TypeAdapter(tuple[Evidence, ...])
_policy = TypeAdapter(CampaignPolicy)


def members(kind: type[E]) -> dict[str, E]:
    """Return the members of an enumeration by value: faster than calling the class."""
    return {member.value: member for member in kind}


def optional(kind: type[E]) -> Callable[[str | None], E | None]:
    """Return the same as `members`, for a column that may be NULL."""
    known = members(kind)
    return lambda value: None if value is None else known[value]


_lead_status = members(LeadStatus)
_campaign_status = members(CampaignStatus)
_enrolment_status = members(EnrolmentStatus)
_call_status = members(CallStatus)
_disposition = members(Disposition)
_event_kind = members(EventKind)
_any_temperature = optional(Temperature)
_any_answered_by = optional(AnsweredBy)
_any_outcome = optional(CallOutcome)
_any_disposition = optional(Disposition)


def enrolment_counts(rows: Pairs) -> dict[EnrolmentStatus, int]:
    return _summed(_enrolment_status, rows)


def call_counts(rows: Pairs) -> dict[CallStatus, int]:
    return _summed(_call_status, rows)


def disposition_counts(rows: Pairs) -> dict[Disposition, int]:
    return _summed(_disposition, rows)


def _summed(known: Mapping[str, E], rows: Pairs) -> dict[E, int]:
    counts: Counter[E] = Counter()
    for value, count in rows:
        if value is not None:
            counts[known[value]] += count
    return dict(counts)


@lru_cache(maxsize=256)
def policy_of(text: str) -> CampaignPolicy:
    """Return the policy in a JSON text. Campaigns share few policies, so they are cached."""
    return _policy.validate_json(text)


def policy_text(policy: CampaignPolicy) -> str:
    return _policy.dump_json(policy).decode()


def lead_of(row: Any) -> Lead:
    (
        id_, tenant, e164, name, email, timezone, state, postal_code, source, attributes, status,
        score, temperature, evidence, ruleset_version, created_at, updated_at, last_contacted_at,
        version,
    ) = row  # fmt: skip
    return Lead(
        id_, tenant, e164, name, email, timezone, state, postal_code, source,
        attributes, _lead_status[status], score, _any_temperature(temperature),
        _evidence.validate_python(evidence) if evidence else (), ruleset_version,
        created_at, updated_at, last_contacted_at, version,
    )  # fmt: skip


def campaign_of(row: Any) -> Campaign:
    id_, tenant, name, status, policy, created_at, started_at, ended_at, version = row
    return Campaign(
        id_, tenant, name, _campaign_status[status], policy_of(policy), created_at, started_at,
        ended_at, version,
    )  # fmt: skip


def enrolment_of(row: Any) -> Enrolment:
    id_, campaign_id, lead_id, status, attempts, calls, tries, next_at, version = row
    return Enrolment(
        id_, campaign_id, lead_id, _enrolment_status[status], attempts, calls,
        {_disposition[key]: count for key, count in tries.items()},
        next_at, version,
    )  # fmt: skip


def call_of(row: Any) -> Call:
    (
        id_, tenant, campaign_id, enrolment_id, lead_id, number, status, scheduled_for, dialed_at,
        requests, refused_until, provider_id, sequence, answered_at, ended_at, duration,
        answered_by, outcome, sip_code, price, disposition, callback_at, processed_at, created_at,
        version,
    ) = row  # fmt: skip
    return Call(
        id_, tenant, campaign_id, enrolment_id, lead_id, number, _call_status[status],
        scheduled_for, dialed_at, requests, refused_until, provider_id, sequence, answered_at,
        ended_at, duration, _any_answered_by(answered_by), _any_outcome(outcome), sip_code, price,
        _any_disposition(disposition), callback_at, processed_at, created_at, version,
    )  # fmt: skip


def event_of(row: Any) -> CallEvent:
    id_, provider_id, kind, sequence, call_id, payload, received_at = row
    return CallEvent(id_, provider_id, _event_kind[kind], sequence, call_id, payload, received_at)


def recording_of(row: Any) -> Recording:
    return Recording(*row)
