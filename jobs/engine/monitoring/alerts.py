"""Tells somebody of dead letters, beside the jobs: what goes wrong here is logged and no more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis

from jobs.engine.queue.keys import ALERTED
from jobs.engine.queue.outcome import Outcome, OutcomeKind
from jobs.settings import get_settings

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("jobs.alerts")

Hook = Callable[[Outcome], Awaitable[None]]
"""Is called with the outcome that is told: that of a job which failed for good."""

MAX_CONCURRENT: Final = 20
"""Alerts under way; when there are so many, further ones are dropped, and their letters are there
to be listed all the same."""
PATIENCE: Final = 10.0
"""Seconds that a hook may take, and that a closing worker waits for all of them."""


class Alerts:
    """An observer that calls `hook` in the background: for each fingerprint once in `every`, over
    all workers of a Redis."""

    def __init__(self, hook: Hook, redis: Redis, every: timedelta | None = None) -> None:
        self._hook = hook
        self._redis = redis
        self._every = every
        self._under_way: set[asyncio.Task[None]] = set()

    def __call__(self, outcome: Outcome) -> None:
        if outcome.kind is not OutcomeKind.DEAD:
            return
        if len(self._under_way) >= MAX_CONCURRENT:
            logger.warning("no alert for job %s: too many are under way", outcome.job_id)
            return
        task = asyncio.create_task(self._tell(outcome))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Lets what is under way end, within PATIENCE."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=PATIENCE)
        for task in self._under_way:
            task.cancel()

    async def _tell(self, outcome: Outcome) -> None:
        told = f"{ALERTED}{outcome.fingerprint}"
        try:
            async with asyncio.timeout(PATIENCE):
                every = self._every or timedelta(seconds=get_settings().task_alert_every)
                if not await self._redis.set(told, outcome.job_id, px=every, nx=True):
                    return
                try:
                    await self._hook(outcome)
                except BaseException:
                    await self._redis.delete(told)  # the next one may get through
                    raise
        except Exception as error:  # noqa: BLE001 - whatever a hook raises
            why = str(error) or type(error).__name__
            logger.warning("the alert for job %s failed: %s", outcome.job_id, why)


async def post_alert(outcome: Outcome) -> None:
    """POSTs the outcome to TASK_ALERT_URL as JSON; without that setting, does nothing.

    Its `text` is a line to be read: what chat services show.
    """
    url = get_settings().task_alert_url
    if url is None:
        return
    # In a thread, as it takes a while: the import, and the reading of certificates.
    client = await asyncio.to_thread(_client)
    async with client:
        try:
            response = await client.post(url.get_secret_value(), json=alert(outcome))
        except Exception as error:  # noqa: BLE001 - whatever the library raises
            # Without its text, which may have the URL in it, and with that a secret.
            raise ConnectionError(f"TASK_ALERT_URL: {type(error).__name__}") from None
    if not response.is_success:
        raise ConnectionError(f"TASK_ALERT_URL answered {response.status_code}")


def _client() -> "httpx.AsyncClient":
    import httpx

    return httpx.AsyncClient(timeout=PATIENCE / 2)


def alert(outcome: Outcome) -> dict[str, object]:
    """What is told of a dead letter: all of it masked, and no arguments."""
    return {
        "text": f"{outcome.function} failed for good: {outcome.error} "
        f"(ringline failed show {outcome.job_id})",
        "job_id": outcome.job_id,
        "job": outcome.function,
        "queue": outcome.queue,
        "error": outcome.error,
        "fingerprint": outcome.fingerprint,
        "tries": outcome.try_number,
        "enqueued_at": outcome.enqueued_at.isoformat(),
        "failed_at": outcome.finished_at.isoformat(),
    }
