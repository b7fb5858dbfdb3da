"""The ground a demo runs on: databases and a folder of its own, gone when it ends."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.clock import ScaledClock
from jobs.embedded import databases
from jobs.embedded.redis_databases import leased_database
from jobs.embedded.resolve import database_url, redis_url
from jobs.settings import Settings
from jobs.store.postgres import migrate

LEASE = 3.0
"""Seconds after which the jobs of a killed worker go on elsewhere."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What belongs to one run. folder: private and short, as a socket's path may have 107 bytes."""

    redis_url: str
    database_url: str
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "voice.sock"

    def environment(
        self, clock: ScaledClock, recordings: Path, lease: float = LEASE
    ) -> dict[str, str]:
        """The settings of the run's processes, as environment variables."""
        return {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "TASK_QUEUE_URLS": "{}",  # the run's own Redis has all of its queues
            "DATABASE_URL": self.database_url,
            "VOICE_URL": f"simulator+unix:{self.socket}",
            "RECORDINGS_URL": str(recordings),
            "JOBS_CLOCK": str(clock),
            "TASK_LEASE": str(lease),
            "LOG_FORMAT": "json",
        }


@asynccontextmanager
async def own_ground(settings: Settings) -> AsyncIterator[Ground]:
    """Makes the run's databases on the servers of the settings, else on embedded ones."""
    redis, postgres = redis_url(settings, start=True), database_url(settings, start=True)
    name = f"ringline_demo_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="ringline-"))
    try:
        with leased_database(redis) as own_redis:
            await databases.create(postgres, name)
            try:
                own_postgres = databases.url_for(postgres, name)
                await migrate.upgrade_async(own_postgres)
                yield Ground(own_redis, own_postgres, folder)
            finally:
                await databases.drop(postgres, name)
    finally:
        shutil.rmtree(folder)
