"""Connections that are refused, never answered, or closed while they are opened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from arq.connections import ArqRedis, RedisSettings
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from jobs.engine import LazyRedisSettings, NoRedisError, Pool, create_pool
from jobs.engine.connection import connect as connecting
from jobs.engine.connection.script_channel import ScriptChannel
from jobs.engine.connection.urls import Address
from jobs.engine.queue.scripts import QUEUE_STATE
from jobs.engine.worker.handoff import Handoff
from jobs.testing.waiting import wait_until
from tests.integration.workers import OwnRedis, connect


@pytest.fixture
async def admin(server: OwnRedis) -> AsyncIterator[ArqRedis]:
    async with await connect(server.url) as admin:
        await admin.ping()
        yield admin


def settings_of(server: OwnRedis, **options: Any) -> RedisSettings:
    return RedisSettings(unix_socket_path=f"{server.folder}/redis.sock", **options)


async def test_unresponsive_redis_raises_a_one_line_error(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel accepts connections for the frozen server, but nothing replies."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 0.1)
    server.freeze()
    redis = settings_of(server, conn_timeout=0.1, conn_retries=2, conn_retry_delay=0)
    with pytest.raises(NoRedisError, match=r"no response from Redis at unix:.*: timed out"):
        async with asyncio.timeout(20):
            await create_pool(redis)


async def test_lazy_settings_time_out_on_an_unresponsive_redis(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 0.1)
    server.freeze()
    settings = LazyRedisSettings(f"{server.url}?socket_connect_timeout=0.1")
    with pytest.raises(NoRedisError, match=r"no response from Redis at unix:.*: timed out"):
        async with asyncio.timeout(20):
            await asyncio.to_thread(getattr, settings, "host")


async def test_pool_retries_until_redis_responds(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", 0.1)
    server.freeze()
    redis = settings_of(server, conn_timeout=0.1, conn_retries=1000, conn_retry_delay=0)
    opening = asyncio.create_task(create_pool(redis))
    await asyncio.wait([opening], timeout=0.5)
    assert not opening.done()
    server.thaw()
    async with await opening as pool:
        assert await pool.ping()


async def test_retries_already_used_count(server: OwnRedis) -> None:
    """As in arq, `retry` is the number of the settings' retries already used."""
    server.kill()
    redis = settings_of(server, conn_retries=2, conn_retry_delay=3600)
    for used in (2, 3):
        with pytest.raises(NoRedisError, match="no response from Redis"):
            async with asyncio.timeout(20):
                await create_pool(redis, retry=used)


async def test_pool_refused_its_second_connection_closes_the_first(
    server: OwnRedis, admin: ArqRedis
) -> None:
    await admin.config_set("maxclients", 2)
    with pytest.raises(NoRedisError, match="Redis at unix:"):
        await create_pool(server.url)
    await wait_until(lambda: is_alone(admin))


async def test_pool_closed_while_connecting_leaves_no_connection(
    server: OwnRedis, admin: ArqRedis
) -> None:
    for turns in range(8):
        pool = Pool(Address.of(server.url).connections())
        pool.auto_close_connection_pool = True
        enqueued = asyncio.create_task(pool.enqueue_job("x"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await pool.aclose()
        with suppress(RedisConnectionError):
            await enqueued
        if turns:  # in turn 0, the call starts after the close and opens a new connection
            await wait_until(lambda: is_alone(admin), timeout=5)
        await pool.aclose()


async def is_alone(admin: ArqRedis) -> bool:
    return len(await admin.client_list()) == 1


async def test_transient_error_does_not_switch_tracking_off(
    server: OwnRedis, admin: ArqRedis
) -> None:
    await admin.config_set("busy-reply-threshold", 1)
    channel = ScriptChannel(Address.of(server.url).connections(), lambda: None)
    async with await connect(server.url) as other:
        script = "while true do end"
        endless = asyncio.ensure_future(other.execute_command("EVAL", script, 0))  # type: ignore[no-untyped-call]

        async def is_busy() -> bool:
            try:
                return not await admin.get("x")
            except ResponseError as error:
                return str(error).startswith("BUSY")

        await wait_until(is_busy)
        with pytest.raises(ResponseError, match="BUSY"):
            await channel.call(QUEUE_STATE, ["q"])
        await admin.script_kill()
        with suppress(ResponseError):
            await endless
    assert await channel.call(QUEUE_STATE, ["q"])
    assert channel.tracks
    await channel.close()


async def test_handoff_reconnects_after_an_unanswered_connection(
    server: OwnRedis,
) -> None:
    """A proxy may accept a connection and lose the first command."""
    made: list[asyncio.StreamWriter] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        if len(made) == 2:
            await ended.wait()
            return writer.close()
        far_reader, far = await asyncio.open_unix_connection(f"{server.folder}/redis.sock")

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pass_on(reader, far), pass_on(far_reader, writer))
        return None

    proxy = server.folder / "proxy.sock"
    brief = "socket_timeout=0.2&socket_connect_timeout=0.2"
    opened = asyncio.Event()
    async with await asyncio.start_unix_server(serve, proxy):
        connections = Address.of(f"unix://{proxy}?{brief}").connections()
        handover = Handoff(connections, "w:1000", take=lambda _: None, opened=opened.set)
        handover.start()
        async with asyncio.timeout(20):
            await opened.wait()
            opened.clear()
            made[0].transport.abort()
            await opened.wait()
        assert len(made) == 3
        ended.set()
        await handover.stop()
