"""Mail server that refuses the first attempts, and keeps what it delivers in Redis."""

from typing import Any

from arq.connections import RedisSettings, create_pool

REFUSED = 2
"""Attempts that the server refuses per mail."""


class MailRefusedError(Exception):
    """The server is busy."""


class MailServer:
    """Connection to the mail server."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    @classmethod
    async def connect(cls, settings: RedisSettings) -> "MailServer":
        return cls(await create_pool(settings))

    async def send(self, recipient: str, edition: int) -> None:
        key = f"attempts:{edition}:{recipient}"
        if await self._redis.incr(key) <= REFUSED:
            raise MailRefusedError(recipient)
        await self._redis.rpush("delivered", f"{edition} {recipient}")

    async def tick(self, score: int) -> None:
        await self._redis.rpush("ticks", score)

    async def close(self) -> None:
        await self._redis.rpush("closed", "once")
        await self._redis.aclose(close_connection_pool=True)
