"""Temporary databases and a folder for one run."""

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
"""Lease of the run's workers, in seconds: short, so that a killed worker's jobs resume soon."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Databases and folder of one run.

    Attributes:
        redis_url: Redis database of the run.
        database_url: PostgreSQL database of the run.
        folder: Private folder with a short path: a socket path may have at most 107 bytes.
    """

    redis_url: str
    database_url: str
    folder: Path

    @property
    def socket(self) -> Path:
        """Socket of the simulated voice provider."""
        return self.folder / "voice.sock"

    def variables(
        self, clock: ScaledClock, recordings: Path, lease: float = LEASE
    ) -> dict[str, str]:
        """Return the environment variables of the run's worker processes.

        Args:
            clock: Business clock.
            recordings: Folder for call recordings.
            lease: Lease in seconds.

        Returns:
            This process's variables, overridden by those of the run.
        """
        return {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "TASK_QUEUE_URLS": "{}",  # all queues are on the run's Redis
            "DATABASE_URL": self.database_url,
            "VOICE_URL": f"simulator+unix:{self.socket}",
            "RECORDINGS_URL": str(recordings),
            "RINGLINE_CLOCK": str(clock),
            "TASK_LEASE": str(lease),
            "LOG_FORMAT": "json",
        }


@asynccontextmanager
async def temporary_environment(settings: Settings) -> AsyncIterator[Environment]:
    """Create databases and a folder for one run, and remove them afterwards.

    Args:
        settings: Server URLs. Without a URL, the embedded server is used and started if needed.

    Returns:
        A context manager with the environment.

    Raises:
        ServerError: An embedded server cannot be started.
    """
    redis, postgres = redis_url(settings, start=True), database_url(settings, start=True)
    name = f"ringline_demo_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="ringline-"))
    try:
        with leased_database(redis) as own_redis:
            await databases.create(postgres, name)
            try:
                own_postgres = databases.url_for(postgres, name)
                await migrate.upgrade_async(own_postgres)
                yield Environment(own_redis, own_postgres, folder)
            finally:
                await databases.drop(postgres, name)
    finally:
        shutil.rmtree(folder)
