"""Options of `create_pool`, which `jobs.create_pool` passes on."""

from typing import TypedDict

from arq.jobs import Deserializer, Serializer

from jobs.engine.queue.names import QueueNames


class PoolOptions(TypedDict, total=False):
    """Keyword arguments of `jobs.engine.create_pool`; all but the last are arq's.

    Attributes:
        retry: Connection attempts already made.
        job_serializer: Writes payloads; None for pickle. Default: JSON.
        job_deserializer: Reads payloads and results; None for pickle. Default: JSON.
        default_queue_name: Queue of jobs whose name and function determine none.
        expires_extra_ms: Milliseconds for which a job is kept after it is due.
        queues: Names of queues by job name.
    """

    retry: int
    job_serializer: Serializer | None
    job_deserializer: Deserializer | None
    default_queue_name: str | None
    expires_extra_ms: int
    queues: QueueNames | None
