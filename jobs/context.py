"""Resources that a domain's worker opens once and shares with its jobs."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from jobs.clock import Clock, clock_from
from jobs.embedded import resolve
from jobs.engine.bootstrap.worker_settings import EngineSettings
from jobs.engine.client.pool import Pool
from jobs.engine.queue.servers import QueueUrls
from jobs.errors import UsageError
from jobs.inbox import receive
from jobs.privacy.masking import mask_url
from jobs.settings import Settings, get_settings
from jobs.store.postgres.store import PostgresStore
from jobs.store.protocol import Store
from jobs.voice import open_voice
from jobs.voice.protocol import VoiceProvider


class JobContext(TypedDict):
    """First argument of every job.

    Attributes:
        store: Transactions on PostgreSQL.
        redis: Pool for enqueueing jobs.
        clock: Business clock.
        voice: Voice provider.
        recordings: Object store of the call recordings.
        settings: Settings of the process.
        job_id: Id of this job.
        job_try: Number of this execution, from 1.
        enqueue_time: Time at which the job was enqueued, in UTC.
        score: Score of the job in its queue: POSIX milliseconds.
    """

    store: Store
    redis: Pool
    clock: Clock
    voice: VoiceProvider
    recordings: ObjectStore
    settings: Settings
    job_id: str
    job_try: int
    enqueue_time: datetime
    score: int


def open_recordings(url: str) -> ObjectStore:
    """Return the object store at a URL, or in a local folder.

    Args:
        url: URL of an object store, such as s3://bucket/folder, or the path of a folder, which is
            created if necessary.

    Raises:
        UsageError: The URL is malformed. The message shows no password.
    """
    if "://" in url:
        try:
            return from_url(url)
        except (BaseError, ValueError):
            reason = "not an object store URL: use one such as s3://bucket/folder"
            raise UsageError(f"RECORDINGS_URL: {mask_url(url)}: {reason}") from None
    return LocalStore(Path(url).absolute(), mkdir=True)


async def open_context(ctx: dict[Any, Any]) -> None:
    """Open the resources of JobContext; the `on_startup` hook of a domain's worker.

    A worker of several domains may call the hook more than once; only the first call opens.

    Args:
        ctx: Context of the worker, with arq's pool in `redis`. Replaced by a `Pool` on the same
            connection.
    """
    if "store" in ctx:
        return
    settings = get_settings()
    clock = clock_from(settings.ringline_clock)
    urls = QueueUrls.from_settings(settings, resolve.redis_url(settings, start=False))
    pool = Pool.sharing(ctx["redis"], clock=clock, urls=urls, url=urls.of(ctx["queue"]))
    store = await PostgresStore.open(
        resolve.database_url(settings, start=False), publish=pool.enqueue_many, clock=clock
    )
    ctx.update(
        settings=settings,
        clock=clock,
        redis=pool,
        store=store,
        voice=await open_voice(
            settings.voice_url.get_secret_value(),
            clock=clock,
            sink=partial(receive, store, clock),
        ),
        recordings=open_recordings(settings.recordings_url.get_secret_value()),
    )


async def close_context(ctx: dict[Any, Any]) -> None:
    """Close the resources that `open_context` opened, even if it failed halfway."""
    voice, store = ctx.pop("voice", None), ctx.pop("store", None)
    if voice is not None:
        await voice.close()
    if store is not None:
        await store.close()
        await ctx["redis"].aclose()


class DomainSettings(EngineSettings):
    """Base of each domain's `WorkerSettings`: opens and closes the job context."""

    on_startup = staticmethod(open_context)
    on_shutdown = staticmethod(close_context)

    @staticmethod
    def redis_url(settings: Settings) -> str:  # type: ignore[override]  # called on connecting
        """Return REDIS_URL, or the URL of the embedded server that runs in this folder."""
        return resolve.redis_url(settings, start=False)
