"""A voice provider that dials nobody: it follows a plan, and keeps books of what it was asked."""

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
    """What the provider was asked and did; every figure is a count."""

    requests: int = 0
    """Requests to dial, repetitions included."""
    accepted: int = 0
    """Calls taken, which is also the count of keys accepted: a key is never taken twice."""
    repeated_keys: int = 0
    """Requests for a call that was taken before; nothing was dialled for them."""
    refused: int = 0
    """Requests refused, for good or for now."""
    dropped: int = 0
    """Requests not taken, and not answered."""
    unanswered: int = 0
    """Requests whose answer was lost on its way back."""
    ended: int = 0
    overlapping: int = 0
    """Calls taken while an earlier one to the same number had not ended."""
    events: int = 0
    """Deliveries planned, repetitions included, lost ones not."""
    delivered: int = 0
    """Events that a sink has stored."""
    failed_deliveries: int = 0
    """Batches that a sink has not stored; they are delivered again."""


class _Taken(NamedTuple):
    """Enough to know a call for ever: the rest follows from the plan."""

    to: str
    nth: int
    at: float
    """POSIX seconds of business time."""


class _Line(NamedTuple):
    """A number's latest call."""

    nth: int
    busy_until: float


class Simulator:
    """A VoiceProvider in this process. To be made while an event loop runs.

    sink: where callbacks go; more can be attached, and each batch goes to one of them. With none,
    the callbacks wait. seed: of the faults; the plan has its own. spacing: real seconds between
    two batches of callbacks.
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
        """May be changed at any time, as may `trouble`."""
        self.trouble = trouble
        self._calls: dict[UUID, _Taken] = {}
        self._asked: dict[UUID, int] = {}
        self._lines: dict[str, _Line] = {}
        self._ends: list[float] = []
        self._lookups = count()
        self._books = ProviderRecords()
        self.callbacks = Callbacks(clock, spacing=spacing)
        if sink is not None:
            self.callbacks.attach(sink)

    @property
    def idle(self) -> asyncio.Event:
        """Set while no call is going on and no event is on its way."""
        return self.callbacks.idle

    async def settle(self) -> None:
        """Waits until all events due by now are delivered: for tests that move the clock."""
        await self.callbacks.settle()

    async def records(self) -> ProviderRecords:
        """The books as they are now."""
        now = self._now()
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
            self._books.ended += 1
        return replace(
            self._books,
            delivered=self.callbacks.delivered,
            failed_deliveries=self.callbacks.failures,
        )

    @property
    def accepted_keys(self) -> frozenset[UUID]:
        """The calls that it has taken."""
        return frozenset(self._calls)

    def requests_for(self, call_id: UUID) -> int:
        """How often it was asked to dial this call."""
        return self._asked.get(call_id, 0)

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """As VoiceProvider. All is decided before the first await, so no answer is late news."""
        answers: dict[UUID, Answer] = {}
        for request in requests:
            answer = self._answer(request)
            if answer is not None:
                answers[request.call_id] = answer
        if requests and self.trouble and self._is_slow(requests[0], self.trouble):
            await asyncio.sleep(self.trouble.slow_seconds)
        return answers

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """As VoiceProvider."""
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
        """As VoiceProvider. Raises ValidationError for a foreign URL, NotFoundError if none is
        there."""
        for index in count():
            chunk = self.recording_chunk(url, index)
            if not chunk:
                return
            yield chunk

    def recording_chunk(self, url: str, index: int) -> bytes:
        """One chunk of a recording; empty after the last. Raises as `recording` does."""
        call_id = recorded_call(url)
        taken = self._calls.get(call_id)
        script = taken and self._script(call_id, taken)
        if not script or not any(event.kind == RECORDING for event in script.events):
            raise NotFoundError("recording", url)
        seconds = script.final.payload["duration"]
        return wav_chunk(self._id("RE", call_id), int(seconds or 0), index)

    async def close(self) -> None:
        """Stops delivering. Callbacks still on their way are lost."""
        await self.callbacks.close()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _id(self, prefix: str, call_id: UUID) -> str:
        return prefix + blake2b(call_id.bytes, digest_size=16, person=prefix.encode()).hexdigest()

    def _script(self, call_id: UUID, taken: _Taken) -> CallScript:
        return self._plan.script(CallRequest(call_id, taken.to), taken.nth)

    def _answer(self, request: CallRequest) -> Answer | None:
        self._books.requests += 1
        asked = self._asked[request.call_id] = self._asked.get(request.call_id, 0) + 1
        trouble = self.trouble
        fate = Fate.HEARD
        if trouble is not None:
            line = self._lines.get(request.to)
            nth = line.nth if line else 0
            fate = trouble.fate(chance(self._seed, "fate", request.to, nth, asked))
        if fate is Fate.DROPPED:
            self._books.dropped += 1
            return None
        if request.call_id in self._calls:
            self._books.repeated_keys += 1
        elif trouble is not None and (refusal := self._refusal(request, trouble, fate)):
            self._books.refused += 1
            return refusal
        else:
            self._take(request)
        if fate is Fate.UNANSWERED:
            self._books.unanswered += 1
            return None
        return Accepted(self._id("CA", request.call_id))

    def _refusal(self, request: CallRequest, trouble: Trouble, fate: Fate) -> Refused | None:
        if chance(self._seed, "invalid", request.to).random() < trouble.invalid:
            return Refused("this number cannot be called", permanent=True)
        if fate is Fate.TOLD_TO_WAIT:
            return Refused("too many requests", retry_after=trouble.wait_seconds)
        if fate is Fate.REFUSED:
            return Refused("the service is unavailable")
        return None

    def _is_slow(self, first: CallRequest, trouble: Trouble) -> bool:
        asked = self._asked[first.call_id]
        return chance(self._seed, "slow", first.to, asked).random() < trouble.slow

    def _take(self, request: CallRequest) -> None:
        now = self._now()
        before = self._lines.get(request.to) or _Line(0, now)
        taken = self._calls[request.call_id] = _Taken(request.to, before.nth + 1, now)
        script = self._plan.script(request, taken.nth)
        end = now + script.final.at
        self._books.accepted += 1
        self._books.overlapping += now < before.busy_until
        self._lines[request.to] = _Line(taken.nth, max(end, before.busy_until))
        heapq.heappush(self._ends, end)
        self.callbacks.send(end, None)
        for at, event in self._callbacks_of(request, taken, script):
            self._books.events += 1
            self.callbacks.send(now + at, event)

    def _callbacks_of(
        self, request: CallRequest, taken: _Taken, script: CallScript
    ) -> Iterable[tuple[float, ProviderEvent]]:
        call_id: UUID | None = request.call_id
        if self.disorder is None:
            arrivals = [(event.at, event) for event in script.events]
        else:
            random = chance(self._seed, "disorder", request.to, taken.nth)
            if random.random() < self.disorder.unnamed:
                call_id = None
            arrivals = self.disorder.deliveries(script, random)
        provider_id = self._id("CA", request.call_id)
        for at, event in arrivals:
            payload = self._payload(request.call_id, event, taken.at)
            yield at, ProviderEvent(provider_id, event.kind, event.sequence, call_id, payload)

    def _payload(self, call_id: UUID, event: ScriptedEvent, taken_at: float) -> dict[str, Field]:
        payload = event.payload_from(taken_at)
        if event.kind == RECORDING:
            payload["recording_id"] = self._id("RE", call_id)
            payload["url"] = recording_url(call_id)
        return payload

    def _state(self, call_id: UUID, taken: _Taken, now: float) -> CallState:
        latest = self._script(call_id, taken).status_at(now - taken.at)
        payload = latest.payload_from(taken.at)
        return CallState(self._id("CA", call_id), call_id, payload, latest.sequence)
