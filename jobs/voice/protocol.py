"""Protocol of voice providers: requests, answers, events and states. Knows no domain."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

Field = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Request to dial a number.

    Attributes:
        call_id: The attempt; also the idempotency key, repeated in every event of the call.
        to: The number, in E.164; left out of the repr, which ends up in logs and errors.
    """

    call_id: UUID
    to: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer of a provider that has accepted the call.

    Attributes:
        provider_id: The provider's id of the call.
    """

    provider_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer of a provider that has certainly not accepted the call: a new request is safe.

    Attributes:
        reason: Reason of the refusal, for people to read.
        retry_after: Seconds to wait before the next request; None if the provider named no delay.
        permanent: True if the number can never be called.
    """

    reason: str
    retry_after: float | None = None
    permanent: bool = False


Answer = Accepted | Refused


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """Callback of a provider.

    The payload of a `status` event has `status` (Twilio's names, and `initiated`) and, where
    known, `at` (ISO 8601), `duration` (seconds), `answered_by`, `outcome`, `sip_code`, `price` and
    `callback_at` (ISO 8601). The payload of a `recording` event has `recording_id`, `status` and
    `url`.

    Attributes:
        provider_id: The provider's id of the call.
        kind: `status`, `machine-detection` or `recording`.
        sequence: Order of the event among the events of this kind in the call, from 0.
        call_id: `CallRequest.call_id`; None if the provider did not repeat it.
        payload: Facts by name.
    """

    provider_id: str
    kind: str
    sequence: int
    call_id: UUID | None
    payload: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallState:
    """State of a call, as the provider's lookup returns it.

    Attributes:
        provider_id: The provider's id of the call.
        call_id: `CallRequest.call_id`.
        payload: As in a `status` event.
        last_sequence: Sequence of the latest `status` event; -1 before the first.
    """

    provider_id: str
    call_id: UUID
    payload: Mapping[str, Field]
    last_sequence: int


Sink = Callable[[Sequence[ProviderEvent]], Awaitable[None]]
"""Receiver of a provider's events; returns once the events are stored."""


class VoiceProvider(Protocol):
    """Client of a voice provider."""

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """Request calls; each call id is dialed at most once, however often it is requested.

        Args:
            requests: The calls to place.

        Returns:
            Answers by call id. The fate of a request without an answer is unknown.

        Raises:
            ExternalServiceError: The fate of all the requests is unknown.
        """
        ...

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """Return the states of calls.

        Args:
            call_ids: The calls to look up.

        Returns:
            States by call id. A call that is missing was never accepted.

        Raises:
            ExternalServiceError: The provider did not answer.
        """
        ...

    def recording(self, url: str) -> AsyncIterator[bytes]:
        """Stream a recording.

        Args:
            url: URL from a `recording` event, on one of the provider's own hosts.

        Yields:
            Chunks of the recording's bytes.

        Raises:
            ValidationError: The URL is not one of the provider's.
            NotFoundError: There is no such recording.
            ExternalServiceError: The provider did not answer.
        """
        ...

    async def close(self) -> None: ...
