"""Several workers in one process, on two databases that represent two servers."""

import asyncio
import json
from collections.abc import Iterator
from signal import SIGTERM
from typing import Any

import pytest

from jobs.embedded.folder import Servers
from jobs.embedded.redis_databases import leased_database
from jobs.engine import create_pool
from jobs.engine.bootstrap.workers import create_workers, serve
from jobs.settings import get_settings
from tests.integration.scripted_settings import Aside, Chaos


@pytest.fixture
def two_servers(
    redis_url: str, embedded_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    with leased_database(embedded_servers.redis_url) as other_url:
        monkeypatch.setenv("REDIS_URL", redis_url)
        monkeypatch.setenv("TASK_QUEUE_URLS", json.dumps({"aside_tasks": other_url}))
        get_settings.cache_clear()
        yield
        get_settings.cache_clear()


@pytest.mark.parametrize("started", [True, False])
async def test_stopped_workers_have_no_further_burst(two_servers: None, *, started: bool) -> None:
    """As when their supervisor is gone: no signal tells of it."""
    all_up = asyncio.Barrier(3)

    async def startup(_: object) -> None:
        await all_up.wait()

    async with await create_pool() as pool:
        await pool.enqueue_job("chaos.work", 0, _queue_name="aside_tasks", _defer_by=1000)
        workers = create_workers(Chaos, Aside, on_startup=startup, handle_signals=False)
        serving = asyncio.create_task(serve(*workers))
        if started:
            await all_up.wait()
        else:
            await asyncio.sleep(0)
        for worker in workers:
            worker.handle_sig_wait_for_completion(SIGTERM)
        assert await serving is False


async def test_all_workers_are_closed(two_servers: None) -> None:
    closed: list[dict[str, Any]] = []

    async def shutdown(ctx: dict[str, Any]) -> None:
        closed.append(ctx)
        await ctx["redis"].aclose(close_connection_pool=True)
        raise RuntimeError("cannot close")

    workers = create_workers(Chaos, Aside, on_shutdown=shutdown, burst=True)
    with pytest.raises(RuntimeError, match="cannot close"):
        await serve(*workers)
    assert len(closed) == 2
