"""Script of one call on the provider's side: its events, and its state at any moment."""

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
"""US dollars per started minute."""


@dataclass(frozen=True, slots=True)
class ScriptedEvent:
    """Event of a call. All times are business seconds after the call was accepted.

    Attributes:
        at: Time of the event.
        kind: STATUS, MACHINE_DETECTION or RECORDING.
        sequence: Position of the event among the events of its kind, from 0.
        payload: Payload of the event, without times.
        callback_after: Time of the callback that the person requested.
    """

    at: float
    kind: str
    sequence: int
    payload: Mapping[str, Field] = field(default_factory=dict)
    callback_after: float | None = None

    def payload_from(self, accepted_at: float) -> dict[str, Field]:
        """Return the payload with its times; `accepted_at`: POSIX seconds of business time."""
        payload = dict(self.payload)
        if self.kind == STATUS:
            payload["at"] = _iso(accepted_at + self.at)
        if self.callback_after is not None:
            payload["callback_at"] = _iso(accepted_at + self.callback_after)
        return payload


def _iso(posix: float) -> str:
    return datetime.fromtimestamp(posix, UTC).isoformat()


@dataclass(frozen=True, slots=True)
class CallScript:
    """Script of a call.

    Attributes:
        events: The events, in the order in which they happen.
    """

    events: tuple[ScriptedEvent, ...]

    @property
    def final(self) -> ScriptedEvent:
        """Status event that ends the call."""
        return self.status_at(float("inf"))

    def status_at(self, seconds: float) -> ScriptedEvent:
        """Return the latest status event; before the first one, a `queued` one.

        Args:
            seconds: Business seconds after the call was accepted.
        """
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
    """Return the script of a call that nobody answers.

    Args:
        status: Final status: `no-answer` or `busy`.
        sip_code: Final SIP response code.
        setup: Business seconds until the call is initiated, and from then until it rings.
        ring: Business seconds that it rings.
    """
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
    """Return the script of a call that the network cannot connect.

    Args:
        sip_code: Final SIP response code.
        setup: Business seconds until the call is initiated, and from then until it fails.
    """
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
    """Return the script of a call that a human or a machine answers.

    The event that answers the call already names a human; a machine is detected later, in a
    separate event.

    Args:
        duration: Talk time, in seconds.
        outcome: Outcome of the call, if any.
        answered_by: `human`, or Twilio's name for a kind of machine.
        setup: Business seconds until the call is initiated, and from then until it rings.
        ring: Business seconds that it rings.
        price_per_minute: US dollars per started minute.
        callback_after: Business seconds between the call's end and the requested callback; None
            if none is requested.
        recording_after: Business seconds between the call's end and its recording; None if the
            call is not recorded.
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
        detected_at = start + min(4.0, duration)
        events.append(
            ScriptedEvent(detected_at, MACHINE_DETECTION, 0, {"answered_by": answered_by})
        )
    callback_at = None if callback_after is None else end + callback_after
    events.append(ScriptedEvent(end, STATUS, 3, completed, callback_at))
    if recording_after is not None:
        events.append(ScriptedEvent(end + recording_after, RECORDING, 0, {"status": "completed"}))
    return CallScript(tuple(events))
