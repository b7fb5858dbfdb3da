"""Loaded by arq's test suite: puts our Worker in the place of arq's, and a Redis that runs in the
place of a container."""

import os
import sys
import types
from typing import Self


class RunningRedis:
    """What arq's fixtures want of testcontainers."""

    port = 6379

    def __init__(self, image: str) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> int:
        return int(os.environ["COMPAT_REDIS_PORT"])


containers = types.ModuleType("testcontainers.redis")
containers.RedisContainer = RunningRedis  # type: ignore[attr-defined]
sys.modules["testcontainers"] = types.ModuleType("testcontainers")
sys.modules["testcontainers.redis"] = containers

if os.environ["COMPAT_WORKER"] == "ours":
    import arq
    import arq.worker

    from jobs.engine import Worker

    arq.Worker = arq.worker.Worker = Worker  # type: ignore[misc]
