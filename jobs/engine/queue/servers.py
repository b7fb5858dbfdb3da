"""Maps a queue to its Redis server, and gives arq its settings when it connects."""

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
"""A URL, or how to find it out when a connection is needed."""


def configured_url(settings: Settings) -> str:
    """REDIS_URL. Raises NoRedisError when it is not set."""
    if settings.redis_url is None:
        raise NoRedisError(
            "no Redis: set REDIS_URL, or start one for this folder with `ringline up`"
        )
    return settings.redis_url.get_secret_value()


def resolve(url: RedisUrl, queue: str | None = None) -> str:
    """The URL itself; where it is not fixed, TASK_QUEUE_URLS may name another for the queue.
    Raises NoRedisError where it cannot be found out."""
    if isinstance(url, str):
        return url
    try:
        settings = get_settings()
        own = QueueUrls.from_settings(settings, "").of(queue) if queue else ""
        return own or url(settings)
    except NoRedisError:
        raise
    except (ServerError, SettingsError) as error:
        raise NoRedisError(str(error)) from error


class LazyRedisSettings(RedisSettings):
    """arq's settings, found out when arq connects: to make one opens and reads nothing.

    The first look at any of its values resolves the URL and connects, so that a missing server ends
    in NoRedisError, which is one line, instead of in arq's traceback. queue: whose Redis it is.
    """

    def __init__(self, url: RedisUrl, queue: str | None = None) -> None:
        self.url = url
        self.queue = queue
        self._resolved: RedisSettings | None = None

    def __repr__(self) -> str:
        url = mask_url(self.url) if isinstance(self.url, str) else self.url
        return f"{type(self).__name__}({url!r}, {self.queue!r})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def resolve(self) -> str:
        """Its URL; raises as `resolve`."""
        return resolve(self.url, self.queue)

    @property
    def resolved(self) -> RedisSettings:
        """arq's settings, once Redis has answered. Only arq's worker and pool read them."""
        if self._resolved is None:
            try:
                self._resolved = self._resolve_for_arq()
            except NoRedisError as error:
                raise as_command_error(error) from error
        return self._resolved

    def _resolve_for_arq(self) -> RedisSettings:
        address = Address.of(self.resolve())
        found = address.arq_settings()
        # arq reads the settings without awaiting, and a loop may already run in this thread. The
        # probe blocks for half a minute at most: a process without Redis runs nothing else yet.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _probe(address)).result()
        return found


def _forward(name: str) -> property:
    return property(lambda self: getattr(self.resolved, name))


for _field in dataclasses.fields(RedisSettings):
    setattr(LazyRedisSettings, _field.name, _forward(_field.name))


async def connect(redis: str | RedisSettings) -> ConnectionPool:
    """Connections to a Redis that has answered, and is not too old.

    redis: a URL with any of redis-py's options, or arq's settings. Raises NoRedisError, one line,
    when there is no answer after some tries, and UsageError where the URL is none.
    """
    return await connect_pool(address_of(redis))


def address_of(redis: str | RedisSettings) -> Address:
    return Address.of(redis.resolve() if isinstance(redis, LazyRedisSettings) else redis)


async def _probe(address: Address) -> None:
    await (await connect_pool(address)).disconnect()


@dataclass(frozen=True, slots=True)
class QueueUrls:
    """The Redis of each queue, by its URL: `default`, but for those that `others` names.

    names: by which a queue may have another name.
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
        """As TASK_QUEUE_URLS says. default: what REDIS_URL, or its absence, comes to."""
        urls = {name: url.get_secret_value() for name, url in settings.task_queue_urls.items()}
        return cls(default, urls, QueueNames.from_settings(settings))

    def of(self, queue: str) -> str:
        return self.others.get(self.names.canonical(queue), self.default)

    def all(self) -> list[str]:
        """Each URL once."""
        return list(dict.fromkeys([self.default, *self.others.values()]))
