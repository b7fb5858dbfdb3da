"""Alerts about dead letters, sent in the background. A failed alert is logged and nothing else."""

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
"""A coroutine function that receives the outcome of a job that failed for good."""

MAX_CONCURRENT: Final = 20
"""Alerts sent at once. Further alerts are dropped; their dead letters are kept all the same."""
TIMEOUT: Final = 10.0
"""Seconds that a hook may take, and that a closing worker waits for all hooks."""


class Alerts:
    """An observer that calls a hook for dead letters, at most once per fingerprint and interval.

    Args:
        hook: Is called in the background.
        redis: Holds the interval for all workers.
        every: The interval; None for TASK_ALERT_EVERY.
    """

    def __init__(self, hook: Hook, redis: Redis, every: timedelta | None = None) -> None:
        self._hook = hook
        self._redis = redis
        self._every = every
        self._sending: set[asyncio.Task[None]] = set()

    def __call__(self, outcome: Outcome) -> None:
        if outcome.kind is not OutcomeKind.DEAD:
            return
        if len(self._sending) >= MAX_CONCURRENT:
            logger.warning("dropping alert: too many are being sent job_id=%s", outcome.job_id)
            return
        task = asyncio.create_task(self._send(outcome))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Wait up to TIMEOUT for alerts that are being sent."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=TIMEOUT)
        for task in self._sending:
            task.cancel()

    async def _send(self, outcome: Outcome) -> None:
        key = f"{ALERTED}{outcome.fingerprint}"
        try:
            async with asyncio.timeout(TIMEOUT):
                every = self._every or timedelta(seconds=get_settings().task_alert_every)
                if not await self._redis.set(key, outcome.job_id, px=every, nx=True):
                    return
                try:
                    await self._hook(outcome)
                except BaseException:
                    await self._redis.delete(key)  # the next alert may succeed
                    raise
        except Exception as error:  # noqa: BLE001 - whatever a hook raises
            reason = str(error) or type(error).__name__
            logger.warning("alert failed: %s job_id=%s", reason, outcome.job_id)


async def post_alert(outcome: Outcome) -> None:
    """POST an outcome to TASK_ALERT_URL as JSON; without the setting, do nothing.

    The field `text` is a line to read, as chat services show it.

    Raises:
        ConnectionError: The service did not take the alert. The message omits the URL, a secret.
    """
    url = get_settings().task_alert_url
    if url is None:
        return
    # In a thread: the import and the reading of certificates take a while.
    client = await asyncio.to_thread(_client)
    async with client:
        try:
            response = await client.post(url.get_secret_value(), json=alert(outcome))
        except Exception as error:  # noqa: BLE001 - whatever the library raises
            # Without the text, which may contain the URL and thereby a secret.
            raise ConnectionError(f"TASK_ALERT_URL: {type(error).__name__}") from None
    if not response.is_success:
        raise ConnectionError(f"TASK_ALERT_URL answered {response.status_code}")


def _client() -> "httpx.AsyncClient":
    import httpx

    return httpx.AsyncClient(timeout=TIMEOUT / 2)


def alert(outcome: Outcome) -> dict[str, object]:
    """Return the alert about a dead letter: masked, and without arguments."""
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
