"""What happens to one call, from the provider's side: its events, and its state at any moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Final

from jobs.voice.protocol import Field

STATUS: Final = "status"
MACHINE_DETECTION: Final = "machine-detection"
RECORDING: Final = "recording"

PRICE_PER_MINUTE: Final = Decimal("0.0140")
"""US dollars for each minute begun."""


@dataclass(frozen=True, slots=True)
class ScriptedEvent:
    """Something that happens `at` business seconds after the call was taken.

    sequence: counts from 0 within the kind. callback_after: business seconds from the taking of
    the call to the moment that the person asked to be called back.
    """

    at: float
    kind: str
    sequence: int
    payload: Mapping[str, Field] = field(default_factory=dict)
    callback_after: float | None = None

    def payload_from(self, taken_at: float) -> dict[str, Field]:
        """The payload with its moments, for a call taken at `taken_at` (POSIX seconds)."""
        payload = dict(self.payload)
        if self.kind == STATUS:
            payload["at"] = _iso(taken_at + self.at)
        if self.callback_after is not None:
            payload["callback_at"] = _iso(taken_at + self.callback_after)
        return payload


def _iso(posix: float) -> str:
    return datetime.fromtimestamp(posix, UTC).isoformat()


@dataclass(frozen=True, slots=True)
class CallScript:
    """A call's life: its events in the order in which they happen."""

    events: tuple[ScriptedEvent, ...]

    @property
    def final(self) -> ScriptedEvent:
        """The status that ends the call."""
        return self.status_at(float("inf"))

    def status_at(self, seconds: float) -> ScriptedEvent:
        """The latest status, so many business seconds after the taking; at first `queued`."""
        latest = ScriptedEvent(0.0, STATUS, -1, {"status": "queued"})
        for event in self.events:
            if event.kind == STATUS and event.at <= seconds:
                latest = event
        return latest


def _statuses(steps: Sequence[tuple[float, Mapping[str, Field]]]) -> tuple[ScriptedEvent, ...]:
    return tuple(
        ScriptedEvent(at, STATUS, sequence, payload) for sequence, (at, payload) in enumerate(steps)
    )


def unanswered(status: str, sip_code: int, *, setup: float = 1.0, ring: float = 20.0) -> CallScript:
    """A call that rang and ended without an answer: `no-answer` or `busy`."""
    end: Mapping[str, Field] = {"status": status, "sip_code": sip_code, "duration": 0}
    return CallScript(
        _statuses(
            [
                (setup, {"status": "initiated"}),
                (2 * setup, {"status": "ringing"}),
                (2 * setup + ring, end),
            ]
        )
    )


def failed(sip_code: int, *, setup: float = 1.0) -> CallScript:
    """A call that the network could not put through."""
    end: Mapping[str, Field] = {"status": "failed", "sip_code": sip_code, "duration": 0}
    return CallScript(_statuses([(setup, {"status": "initiated"}), (2 * setup, end)]))


def answered(
    duration: int,
    outcome: str | None,
    *,
    answered_by: str = "human",
    setup: float = 1.0,
    ring: float = 8.0,
    price_per_minute: Decimal = PRICE_PER_MINUTE,
    callback_after: float | None = None,
    recording_after: float | None = None,
) -> CallScript:
    """A call that someone, or a machine, answered and that lasted `duration` seconds.

    callback_after and recording_after count from the call's end, in business seconds. A human is
    known at once; that a machine answered is found out later, in an event of its own.
    """
    by_human = answered_by == "human"
    pick_up: dict[str, Field] = {"status": "in-progress"}
    if by_human:
        pick_up["answered_by"] = answered_by
    completed: dict[str, Field] = {
        "status": "completed",
        "sip_code": 200,
        "duration": duration,
        "answered_by": answered_by,
        "price": str(price_per_minute * ceil(duration / 60)),
    }
    if outcome is not None:
        completed["outcome"] = outcome
    start = 2 * setup + ring
    end = start + duration
    events = list(
        _statuses(
            [(setup, {"status": "initiated"}), (2 * setup, {"status": "ringing"}), (start, pick_up)]
        )
    )
    if not by_human:
        heard_at = start + min(4.0, duration)
        events.append(ScriptedEvent(heard_at, MACHINE_DETECTION, 0, {"answered_by": answered_by}))
    asked_for = None if callback_after is None else end + callback_after
    events.append(ScriptedEvent(end, STATUS, 3, completed, asked_for))
    if recording_after is not None:
        events.append(ScriptedEvent(end + recording_after, RECORDING, 0, {"status": "completed"}))
    return CallScript(tuple(events))
