"""Simulated voice provider: follows a plan, dials nobody and records all requests and calls."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from typing import NamedTuple
from uuid import UUID

from jobs.clock import Clock
from jobs.errors import ExternalServiceError, NotFoundError
from jobs.voice.protocol import (
    Accepted,
    Answer,
    CallRequest,
    CallState,
    Field,
    ProviderEvent,
    Refused,
    Sink,
)
from jobs.voice.simulator.audio import recorded_call, recording_url, wav_chunk
from jobs.voice.simulator.callbacks import Callbacks
from jobs.voice.simulator.chance import chance
from jobs.voice.simulator.faults import Disorder, Fate, Trouble
from jobs.voice.simulator.plan import Plan
from jobs.voice.simulator.script import RECORDING, CallScript, ScriptedEvent


@dataclass(slots=True)
class ProviderRecords:
    """Records of the provider; each one is a count.

    Attributes:
        requests: Requests to dial, including repeated ones.
        accepted: Accepted calls, and thus distinct call ids: no call id is accepted twice.
        repeated_keys: Requests for an accepted call, which dial nothing.
        refused: Refused requests, permanently or not.
        dropped: Requests that were lost before the provider accepted the call.
        unanswered: Requests with a lost answer.
        ended: Calls that have ended.
        overlapping: Calls accepted while an earlier call to the same number was going on.
        events: Scheduled events, including repeated ones and without lost ones.
        delivered: Events that a sink has stored.
        failed_deliveries: Failed deliveries of a batch of events, each followed by another one.
    """

    requests: int = 0
    accepted: int = 0
    repeated_keys: int = 0
    refused: int = 0
    dropped: int = 0
    unanswered: int = 0
    ended: int = 0
    overlapping: int = 0
    events: int = 0
    delivered: int = 0
    failed_deliveries: int = 0


class _AcceptedCall(NamedTuple):
    """Accepted call; its script follows from the plan."""

    to: str
    nth: int
    at: float
    """POSIX seconds of business time."""


class _Line(NamedTuple):
    """Latest call of a number."""

    nth: int
    busy_until: float


class Simulator:
    """Simulated `VoiceProvider` in this process; requires a running event loop.

    Args:
        plan: Scripts of the calls.
        clock: Business clock.
        sink: Receives the events. `callbacks.attach` adds more sinks, and each batch of events
            goes to one of them. Without a sink, events wait for the first one.
        seed: Seed of the faults, apart from the seed of the plan.
        disorder: Faults of callbacks; None for no faults.
        trouble: Faults of requests; None for no faults.
        spacing: Minimum interval between batches of events, in real seconds.

    Attributes:
        disorder: May be replaced at any time; applies to calls accepted from then on.
        trouble: May be replaced at any time; applies to requests from then on.
        callbacks: Delivery of the events.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        sink: Sink | None = None,
        *,
        seed: int = 0,
        disorder: Disorder | None = None,
        trouble: Trouble | None = None,
        spacing: float = 0.05,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._seed = seed
        self.disorder = disorder
        self.trouble = trouble
        self._calls: dict[UUID, _AcceptedCall] = {}
        self._request_counts: dict[UUID, int] = {}
        self._lines: dict[str, _Line] = {}
        self._ends: list[float] = []
        self._lookups = count()
        self._records = ProviderRecords()
        self.callbacks = Callbacks(clock, spacing=spacing)
        if sink is not None:
            self.callbacks.attach(sink)

    @property
    def idle(self) -> asyncio.Event:
        """Set while no call is going on and no event is pending."""
        return self.callbacks.idle

    async def settle(self) -> None:
        """Wait until all events that are due now are delivered: for tests that move the clock."""
        await self.callbacks.settle()

    async def records(self) -> ProviderRecords:
        """Return the current records."""
        now = self._now()
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
            self._records.ended += 1
        return replace(
            self._records,
            delivered=self.callbacks.delivered,
            failed_deliveries=self.callbacks.failures,
        )

    @property
    def accepted_keys(self) -> frozenset[UUID]:
        """Call ids of the accepted calls."""
        return frozenset(self._calls)

    def requests_for(self, call_id: UUID) -> int:
        """Return the number of requests to dial a call."""
        return self._request_counts.get(call_id, 0)

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """See `VoiceProvider.place`; decides all requests before its first await."""
        answers: dict[UUID, Answer] = {}
        for request in requests:
            answer = self._answer(request)
            if answer is not None:
                answers[request.call_id] = answer
        if requests and self.trouble and self._is_slow(requests[0], self.trouble):
            await asyncio.sleep(self.trouble.slow_seconds)
        return answers

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """See `VoiceProvider.lookup`."""
        trouble = self.trouble
        if trouble and chance(self._seed, "lookup", next(self._lookups)).random() < trouble.deaf:
            raise ExternalServiceError("the simulator did not answer a lookup")
        now = self._now()
        return {
            call_id: self._state(call_id, self._calls[call_id], now)
            for call_id in call_ids
            if call_id in self._calls
        }

    async def recording(self, url: str) -> AsyncIterator[bytes]:
        """See `VoiceProvider.recording`."""
        for index in count():
            chunk = self.recording_chunk(url, index)
            if not chunk:
                return
            yield chunk

    def recording_chunk(self, url: str, index: int) -> bytes:
        """Return one chunk of a recording.

        Args:
            url: URL from a `recording` event.
            index: Index of the chunk, from 0.

        Returns:
            The chunk; empty after the last one.

        Raises:
            ValidationError: The URL is not one of the simulator's.
            NotFoundError: There is no such recording.
        """
        call_id = recorded_call(url)
        call = self._calls.get(call_id)
        script = call and self._script(call_id, call)
        if not script or not any(event.kind == RECORDING for event in script.events):
            raise NotFoundError("recording", url)
        seconds = script.final.payload["duration"]
        return wav_chunk(self._id("RE", call_id), int(seconds or 0), index)

    async def close(self) -> None:
        """Stop all deliveries; events that are still pending are lost."""
        await self.callbacks.close()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _id(self, prefix: str, call_id: UUID) -> str:
        return prefix + blake2b(call_id.bytes, digest_size=16, person=prefix.encode()).hexdigest()

    def _script(self, call_id: UUID, call: _AcceptedCall) -> CallScript:
        return self._plan.script(CallRequest(call_id, call.to), call.nth)

    def _answer(self, request: CallRequest) -> Answer | None:
        self._records.requests += 1
        request_count = self._request_counts.get(request.call_id, 0) + 1
        self._request_counts[request.call_id] = request_count
        trouble = self.trouble
        fate = Fate.DELIVERED
        if trouble is not None:
            line = self._lines.get(request.to)
            nth = line.nth if line else 0
            fate = trouble.fate(chance(self._seed, "fate", request.to, nth, request_count))
        if fate is Fate.DROPPED:
            self._records.dropped += 1
            return None
        if request.call_id in self._calls:
            self._records.repeated_keys += 1
        elif trouble is not None and (refusal := self._refusal(request, trouble, fate)):
            self._records.refused += 1
            return refusal
        else:
            self._accept(request)
        if fate is Fate.UNANSWERED:
            self._records.unanswered += 1
            return None
        return Accepted(self._id("CA", request.call_id))

    def _refusal(self, request: CallRequest, trouble: Trouble, fate: Fate) -> Refused | None:
        if chance(self._seed, "invalid", request.to).random() < trouble.invalid:
            return Refused("this number cannot be called", permanent=True)
        if fate is Fate.RATE_LIMITED:
            return Refused("too many requests", retry_after=trouble.wait_seconds)
        if fate is Fate.REFUSED:
            return Refused("the service is unavailable")
        return None

    def _is_slow(self, first: CallRequest, trouble: Trouble) -> bool:
        request_count = self._request_counts[first.call_id]
        return chance(self._seed, "slow", first.to, request_count).random() < trouble.slow

    def _accept(self, request: CallRequest) -> None:
        now = self._now()
        line = self._lines.get(request.to) or _Line(0, now)
        call = self._calls[request.call_id] = _AcceptedCall(request.to, line.nth + 1, now)
        script = self._plan.script(request, call.nth)
        end = now + script.final.at
        self._records.accepted += 1
        self._records.overlapping += now < line.busy_until
        self._lines[request.to] = _Line(call.nth, max(end, line.busy_until))
        heapq.heappush(self._ends, end)
        self.callbacks.send(end, None)
        for at, event in self._events_of(request, call, script):
            self._records.events += 1
            self.callbacks.send(now + at, event)

    def _events_of(
        self, request: CallRequest, call: _AcceptedCall, script: CallScript
    ) -> Iterable[tuple[float, ProviderEvent]]:
        call_id: UUID | None = request.call_id
        if self.disorder is None:
            arrivals = [(event.at, event) for event in script.events]
        else:
            random = chance(self._seed, "disorder", request.to, call.nth)
            if random.random() < self.disorder.unnamed:
                call_id = None
            arrivals = self.disorder.deliveries(script, random)
        provider_id = self._id("CA", request.call_id)
        for at, event in arrivals:
            payload = self._payload(request.call_id, event, call.at)
            yield at, ProviderEvent(provider_id, event.kind, event.sequence, call_id, payload)

    def _payload(self, call_id: UUID, event: ScriptedEvent, accepted_at: float) -> dict[str, Field]:
        payload = event.payload_from(accepted_at)
        if event.kind == RECORDING:
            payload["recording_id"] = self._id("RE", call_id)
            payload["url"] = recording_url(call_id)
        return payload

    def _state(self, call_id: UUID, call: _AcceptedCall, now: float) -> CallState:
        latest = self._script(call_id, call).status_at(now - call.at)
        payload = latest.payload_from(call.at)
        return CallState(self._id("CA", call_id), call_id, payload, latest.sequence)
