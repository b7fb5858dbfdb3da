"""Lead ids as job arguments."""

from typing import Final
from uuid import UUID

LeadIds = UUID | list[UUID]
"""One lead or several, as a payload has them."""

LEADS_PER_JOB: Final = 100
"""Leads in one job of a batch: small enough to retry."""


def as_list(lead_ids: LeadIds) -> list[UUID]:
    """Return lead ids as a list."""
    return [lead_ids] if isinstance(lead_ids, UUID) else lead_ids
