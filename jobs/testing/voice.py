"""A voice provider's plan and receiver for tests."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.voice.protocol import CallRequest, ProviderEvent
from jobs.voice.simulator.script import CallScript, unanswered


@dataclass(frozen=True, slots=True)
class FixedPlan:
    """Calls as a test writes them: by number, one script for each call; the last one repeats.

    A number that is not named does not answer.
    """

    scripts: Mapping[str, Sequence[CallScript]] = field(default_factory=dict)

    def script(self, request: CallRequest, nth: int) -> CallScript:
        scripts = self.scripts.get(request.to)
        if not scripts:
            return unanswered("no-answer", 480)
        return scripts[min(nth, len(scripts)) - 1]


class EventLog:
    """A sink that keeps what it gets, in the order of arrival."""

    def __init__(self) -> None:
        self.events: list[ProviderEvent] = []
        self._grown = asyncio.Event()

    async def __call__(self, events: Sequence[ProviderEvent]) -> None:
        self.events.extend(events)
        self._grown.set()

    async def wait_for(self, count: int, *, timeout: float = 10.0) -> None:
        """Waits until it has got so many events. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while len(self.events) < count:
                self._grown.clear()
                await self._grown.wait()
