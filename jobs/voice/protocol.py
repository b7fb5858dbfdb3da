"""What a voice provider does for us, and what it tells us. Knows no domain."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

Field = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """An order to dial.

    call_id: the attempt, and the idempotency key; it comes back in each of the call's events.
    """

    call_id: UUID
    to: str = field(repr=False)
    """E.164; left out of the repr, which ends up in logs and errors."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken the call."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider has certainly not taken the call, so asking again dials nobody twice."""

    reason: str
    retry_after: float | None = None
    """Seconds to wait, where it asked for that."""
    permanent: bool = False
    """The number can never be called."""


Answer = Accepted | Refused


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A callback. kind: `status`, `machine-detection` or `recording`.

    Payload of a status: `status` (Twilio's names, with `initiated`), and where known `at` (ISO
    moment), `duration` (seconds), `answered_by`, `outcome`, `sip_code`, `price`, `callback_at`.
    Of a recording: `recording_id`, `status`, `url`.
    """

    provider_id: str
    kind: str
    sequence: int
    call_id: UUID | None
    payload: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallState:
    """What the provider answers when it is asked about a call."""

    provider_id: str
    call_id: UUID
    payload: Mapping[str, Field]
    """As in a status event."""
    last_sequence: int


Sink = Callable[[Sequence[ProviderEvent]], Awaitable[None]]
"""Where a provider's events go; it returns once they are stored."""


class VoiceProvider(Protocol):
    """Places calls. Raises ExternalServiceError where the fate of a request is unknown."""

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """Dials each number at most once a call id.

        A request that is missing in the answer has an unknown fate.
        """
        ...

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """The state of those of the calls that the provider has; a missing one was never taken."""
        ...

    def recording(self, url: str) -> AsyncIterator[bytes]:
        """The recording's bytes, in chunks; only from hosts that are the provider's own."""
        ...

    async def close(self) -> None: ...
