"""Fixed plan and recording sink for tests of the voice simulator."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.voice.protocol import CallRequest, ProviderEvent
from jobs.voice.simulator.script import CallScript, unanswered


@dataclass(frozen=True, slots=True)
class FixedPlan:
    """Plan with explicit scripts.

    Attributes:
        scripts: One script per call, by number in E.164; the last script repeats. Calls to all
            other numbers are not answered.
    """

    scripts: Mapping[str, Sequence[CallScript]] = field(default_factory=dict)

    def script(self, request: CallRequest, nth: int) -> CallScript:
        scripts = self.scripts.get(request.to)
        if not scripts:
            return unanswered("no-answer", 480)
        return scripts[min(nth, len(scripts)) - 1]


class EventLog:
    """Sink that records events.

    Attributes:
        events: Events, in the order of arrival.
    """

    def __init__(self) -> None:
        self.events: list[ProviderEvent] = []
        self._arrival = asyncio.Event()

    async def __call__(self, events: Sequence[ProviderEvent]) -> None:
        self.events.extend(events)
        self._arrival.set()

    async def wait_for(self, count: int, *, timeout: float = 10.0) -> None:
        """Wait until the log has `count` events.

        Args:
            count: Number of events.
            timeout: Real seconds to wait.

        Raises:
            TimeoutError: Fewer events have arrived.
        """
        async with asyncio.timeout(timeout):
            while len(self.events) < count:
                self._arrival.clear()
                await self._arrival.wait()
