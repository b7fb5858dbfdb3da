"""A worker cut off from Redis counts as lost for the jobs that it holds."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from arq.worker import func

from jobs.chaos.faults import Injector
from jobs.chaos.proxies import Link
from jobs.chaos.recovery import RecoveryMonitor
from jobs.chaos.schedule import Fault, Kind, Peer, Schedule
from jobs.chaos.servers import TemporaryServers
from jobs.chaos.workers import Fleet
from jobs.engine import Worker, create_pool, deserialize, serialize
from jobs.testing.waiting import wait_until
from jobs.voice import Simulator
from tests.integration.workers import running

QUEUE = "default"


@dataclass
class ThisProcess:
    """Stand-in for a worker of the fleet."""

    links: Mapping[Peer, Link]
    pid: int = os.getpid()


@dataclass
class FleetOfOne:
    workers: list[ThisProcess]


@pytest.mark.parametrize(
    ("kind", "peer", "losses"),
    [
        (Kind.SILENCE, Peer.REDIS, 1),
        (Kind.CUT, Peer.REDIS, 1),
        (Kind.HALF_OPEN, Peer.REDIS, 1),
        (Kind.DELAY, Peer.REDIS, 0),
        (Kind.SILENCE, Peer.POSTGRES, 0),
    ],
)
async def test_losing_the_network_to_redis_counts_as_a_lost_worker(
    kind: Kind, peer: Peer, losses: int, redis_url: str, tmp_path: Path
) -> None:
    started, over = asyncio.Event(), asyncio.Event()

    async def long(ctx: dict[Any, Any]) -> None:
        started.set()
        await over.wait()

    async with await create_pool(redis_url) as pool:
        worker = Worker(
            [func(long, name="long")],
            redis_pool=await create_pool(redis_url),
            queue_name=QUEUE,
            counters=True,
            handle_signals=False,
            job_serializer=serialize,
            job_deserializer=deserialize,
        )
        recoveries = RecoveryMonitor(pool)
        links = {item: Link(tmp_path / item.name, tmp_path / "server") for item in Peer}
        injector = Injector(
            servers=cast("TemporaryServers", None),
            fleet=cast("Fleet", FleetOfOne([ThisProcess(links)])),
            provider=cast("Simulator", None),
            pool=pool,
            recoveries=recoveries,
            arq_environment={},
            output=BytesIO(),
        )
        async with running(worker):
            job = await pool.enqueue_job("long", _queue_name=QUEUE)
            assert job is not None
            await started.wait()
            await wait_until(lambda: recoveries.worker_id_of(os.getpid()))
            fault = Fault(0, 0.05, kind, worker=0, peer=peer)
            await injector.play(Schedule(1, 0.1, flush=False, faults=(fault,)), lambda _: None)
            over.set()
        assert recoveries.worker_losses[job.job_id] == losses
