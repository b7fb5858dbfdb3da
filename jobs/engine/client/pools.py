"""Opening of pools: one server for all queues, or several."""

from arq.connections import RedisSettings
from arq.jobs import Deserializer, Serializer

from jobs.clock import Clock
from jobs.engine.client.pool import Pool
from jobs.engine.connection.connect import connect_pool, connection_failure
from jobs.engine.connection.failures import TRANSIENT_ERRORS
from jobs.engine.queue.names import DEFAULT_EXPIRY_MS, QueueNames
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.engine.queue.servers import QueueUrls, address_of, configured_url, resolve
from jobs.settings import get_settings


async def create_pool(
    redis: RedisSettings | QueueUrls | str | None = None,
    *,
    retry: int = 0,
    job_serializer: Serializer | None = serialize,
    job_deserializer: Deserializer | None = deserialize,
    default_queue_name: str | None = None,
    expires_extra_ms: int = DEFAULT_EXPIRY_MS,
    clock: Clock | None = None,
    queues: QueueNames | None = None,
) -> Pool:
    """Return a pool whose server has answered.

    Args:
        redis: A URL with any of redis-py's options or arq's settings, for all queues; or a URL per
            queue, of which the default one has to answer; by default REDIS_URL and
            TASK_QUEUE_URLS.
        retry: arq's option: connection attempts made so far.
        job_serializer: Writes payloads.
        job_deserializer: Reads payloads and results.
        default_queue_name: The queue of names that `queues` does not know.
        expires_extra_ms: Milliseconds for which a job is kept after it is due.
        clock: Business time, which `_defer_until` is in.
        queues: Maps job names to queues.

    Raises:
        NoRedisError: There is no answer after five attempts, or as many as arq's settings say.
    """
    if redis is None:
        redis = QueueUrls.from_settings(get_settings(), resolve(configured_url))
    urls = redis if isinstance(redis, QueueUrls) else None
    address = address_of(redis.default if isinstance(redis, QueueUrls) else redis)
    pool = Pool(
        await connect_pool(address, tries_used=retry),
        job_serializer,
        job_deserializer,
        default_queue_name,
        expires_extra_ms,
        clock=clock,
        queues=queues,
        urls=urls,
        url=None if urls is None else urls.default,
    )
    pool.auto_close_connection_pool = True
    try:
        await pool.open()
    except BaseException as error:
        await pool.aclose()
        if isinstance(error, TRANSIENT_ERRORS):
            raise connection_failure(address, error) from error
        raise
    return pool
