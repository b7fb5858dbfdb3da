"""Redis and Sentinels with mutual TLS."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from arq.worker import func

from jobs.engine import LazyRedisSettings, NoRedisError, Worker, create_pool, deserialize, serialize
from tests.integration.engine.connection.sentinels import SERVICE, free_ports, watch
from tests.integration.engine.connection.tls import Certificates, tls_front
from tests.integration.workers import OwnRedis, running


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates.create_in(tmp_path)


@pytest.fixture
def options(certificates: Certificates) -> str:
    return urlencode(
        {
            "ssl_ca_certs": certificates.authority,
            "ssl_certfile": certificates.client,
            "ssl_keyfile": certificates.client,
            "ssl_check_hostname": "yes",
        }
    )


@pytest.fixture
async def port(server: OwnRedis, certificates: Certificates) -> AsyncIterator[int]:
    async with tls_front(
        certificates.context,
        lambda: asyncio.open_unix_connection(server.folder / "redis.sock"),
    ) as port:
        yield port


async def check(url: str) -> None:
    """Run two jobs. The polling interval is 30 s, so Redis must notify the worker."""

    async def double(ctx: dict[str, Any], number: int) -> int:
        return 2 * number

    worker = Worker(
        [func(double, name="double")],
        redis_settings=LazyRedisSettings(url),
        queue_name="q",
        job_serializer=serialize,
        job_deserializer=deserialize,
        poll_delay=30,
    )
    async with running(worker), await create_pool(url) as redis:
        for number in range(2):
            job = await redis.enqueue_job("double", number, _queue_name="q")
            assert job is not None
            assert await job.result(timeout=10, poll_delay=0.02) == 2 * number


async def test_worker_and_pool_connect_with_mutual_tls(port: int, options: str) -> None:
    await check(f"rediss://localhost:{port}/2?{options}")


async def test_worker_and_pool_connect_to_sentinels_with_mutual_tls(
    server: OwnRedis, port: int, certificates: Certificates, options: str
) -> None:
    (sentinel_port,) = free_ports(1)
    watcher = watch(server.folder, sentinel_port, port, quorum=1)
    try:
        async with tls_front(
            certificates.context, lambda: asyncio.open_connection("127.0.0.1", sentinel_port)
        ) as sentinel:
            await check(f"rediss+sentinel://127.0.0.1:{sentinel}/{SERVICE}/2?{options}")
    finally:
        watcher.kill()
        watcher.wait()


async def test_untrusted_certificate_is_reported_in_one_line(port: int) -> None:
    with pytest.raises(
        NoRedisError, match=r"cannot use Redis at .*: .*certificate verify failed"
    ) as raised:
        await create_pool(f"rediss://localhost:{port}/2")
    assert "\n" not in str(raised.value)
