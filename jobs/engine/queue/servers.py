"""Maps queues to Redis servers, and resolves arq's settings when arq connects."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from arq.connections import RedisSettings
from redis.asyncio import ConnectionPool

from jobs.engine.connection.connect import NoRedisError, connect_pool
from jobs.engine.connection.urls import Address
from jobs.engine.queue.names import QueueNames
from jobs.errors import ServerError, as_command_error
from jobs.privacy.masking import mask_url
from jobs.settings import Settings, SettingsError, get_settings

RedisUrl = str | Callable[[Settings], str]
"""A URL, or a function that returns it when a worker connects."""


def configured_url(settings: Settings) -> str:
    """Return REDIS_URL.

    Args:
        settings: Settings to read.

    Returns:
        The URL.

    Raises:
        NoRedisError: REDIS_URL is not set.
    """
    if settings.redis_url is None:
        raise NoRedisError(
            "no Redis: set REDIS_URL, or start a server for this folder with `ringline up`"
        )
    return settings.redis_url.get_secret_value()


def resolve(url: RedisUrl, queue: str | None = None) -> str:
    """Return the URL of the Redis that holds a queue.

    Args:
        url: URL, which is returned unchanged, or a function that returns the default URL.
        queue: Name of the queue. TASK_QUEUE_URLS may set a URL for it.

    Returns:
        The URL.

    Raises:
        NoRedisError: No URL is set, or the settings are invalid.
    """
    if isinstance(url, str):
        return url
    try:
        settings = get_settings()
        queue_url = QueueUrls.from_settings(settings, "").of(queue) if queue else ""
        return queue_url or url(settings)
    except NoRedisError:
        raise
    except (ServerError, SettingsError) as error:
        raise NoRedisError(str(error)) from error


class LazyRedisSettings(RedisSettings):
    """arq's settings, resolved when arq connects. Creating an instance reads and opens nothing.

    The first access to a value resolves the URL and connects, so a missing server ends in a
    one-line NoRedisError instead of arq's traceback.

    Args:
        url: URL, or a function that returns it.
        queue: Queue whose Redis to use. TASK_QUEUE_URLS may set a URL for it.
    """

    def __init__(self, url: RedisUrl, queue: str | None = None) -> None:
        self.url = url
        self.queue = queue
        self._resolved: tuple[str, RedisSettings] | None = None

    def __repr__(self) -> str:
        url = mask_url(self.url) if isinstance(self.url, str) else self.url
        return f"{type(self).__name__}({url!r}, {self.queue!r})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def resolve(self) -> str:
        """Return the URL.

        Raises:
            NoRedisError: No URL is set, or the settings are invalid.
        """
        return resolve(self.url, self.queue)

    @property
    def resolved(self) -> RedisSettings:
        """Return arq's settings after Redis has responded. arq's worker and pool read them.

        Raises:
            CommandError: Redis cannot be used.
        """
        try:
            url = self.resolve()
            if self._resolved is None or self._resolved[0] != url:
                self._resolved = url, self._resolve_for_arq(url)
        except NoRedisError as error:
            raise as_command_error(error) from error
        return self._resolved[1]

    def _resolve_for_arq(self, url: str) -> RedisSettings:
        address = Address.of(url)
        settings = address.arq_settings()
        # arq reads the settings synchronously, and this thread may already run an event loop. The
        # probe blocks for at most half a minute: without Redis, the process has nothing to do.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _probe(address)).result()
        return settings


def _forward(name: str) -> property:
    return property(lambda self: getattr(self.resolved, name))


for _field in dataclasses.fields(RedisSettings):
    setattr(LazyRedisSettings, _field.name, _forward(_field.name))


async def connect(redis: str | RedisSettings) -> ConnectionPool:
    """Open a connection pool and wait until Redis responds.

    Args:
        redis: URL with redis-py's options in the query, or arq's settings.

    Returns:
        A pool whose server responded and has a supported version.

    Raises:
        NoRedisError: Redis did not respond after some attempts, or is too old.
        UsageError: The URL is malformed.
    """
    return await connect_pool(address_of(redis))


def address_of(redis: str | RedisSettings) -> Address:
    """Return the address in a URL or in arq's settings.

    Args:
        redis: URL, or arq's settings, which may be lazy.

    Returns:
        The address.

    Raises:
        NoRedisError: Lazy settings cannot be resolved.
        UsageError: The URL is malformed.
    """
    return Address.of(redis.resolve() if isinstance(redis, LazyRedisSettings) else redis)


async def _probe(address: Address) -> None:
    await (await connect_pool(address)).disconnect()


@dataclass(frozen=True, slots=True)
class QueueUrls:
    """Redis URL of each queue.

    Attributes:
        default: URL of queues that are not in `others`.
        others: URL by queue.
        names: Resolves aliases of queues.
    """

    default: str
    others: Mapping[str, str] = field(default_factory=dict)
    names: QueueNames = field(default_factory=QueueNames.from_settings)

    def __post_init__(self) -> None:
        others = {self.names.canonical(queue): url for queue, url in self.others.items()}
        object.__setattr__(self, "others", others)

    def __repr__(self) -> str:
        others = {queue: mask_url(url) for queue, url in self.others.items()}
        return f"{type(self).__name__}({mask_url(self.default)!r}, {others!r})"

    @classmethod
    def from_settings(cls, settings: Settings, default: str) -> "QueueUrls":
        """Create the mapping from TASK_QUEUE_URLS.

        Args:
            settings: Settings to read.
            default: URL of the other queues.

        Returns:
            The mapping.
        """
        urls = {name: url.get_secret_value() for name, url in settings.task_queue_urls.items()}
        return cls(default, urls, QueueNames.from_settings(settings))

    def of(self, queue: str) -> str:
        """Return the URL of a queue, given by name or alias."""
        return self.others.get(self.names.canonical(queue), self.default)

    def all(self) -> list[str]:
        """Return all distinct URLs, the default first."""
        return list(dict.fromkeys([self.default, *self.others.values()]))
