"""What every domain's worker opens once and shares with its jobs."""

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
    """The first argument of every job."""

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
    """The object store at `url`, or the folder of that name, which is made if need be.

    Raises UsageError, which shows no password of the URL.
    """
    if "://" in url:
        try:
            return from_url(url)
        except (BaseError, ValueError):
            reason = "this is not the URL of an object store, as in s3://bucket/folder"
            raise UsageError(f"RECORDINGS_URL: {mask_url(url)}: {reason}") from None
    return LocalStore(Path(url).absolute(), mkdir=True)


async def open_context(ctx: dict[Any, Any]) -> None:
    """Opens what JobContext promises; arq calls it once a worker, with its own pool in `redis`.

    A worker of several domains may call it more than once; it opens everything once.
    """
    if "store" in ctx:
        return
    settings = get_settings()
    clock = clock_from(settings.jobs_clock)
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
    """Closes what `open_context` opened, even when that failed half-way."""
    voice, store = ctx.pop("voice", None), ctx.pop("store", None)
    if voice is not None:
        await voice.close()
    if store is not None:
        await store.close()
        await ctx["redis"].aclose()


class DomainSettings(EngineSettings):
    """The base of each domain's WorkerSettings."""

    on_startup = staticmethod(open_context)
    on_shutdown = staticmethod(close_context)

    @staticmethod
    def redis_url(settings: Settings) -> str:  # type: ignore[override]  # asked when connecting
        """REDIS_URL, or the embedded server that runs in this folder."""
        return resolve.redis_url(settings, start=False)
