"""Upper bound for Python: arq's wire format, batched claims and completions, and nothing else.

Each iteration claims a batch, decodes each payload, awaits the function and completes the batch
over a raw connection. Two iterations run concurrently. The queue stays readable for arq: a claimed
id remains in it, with a negative score and its in-progress key, and the result is kept. There are
no tasks, leases, owners, retries, limits, error handling, deadlines, counters or log lines. The
server must support MSETEX.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgpack
import orjson
from arq.constants import (
    default_queue_name,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from hiredis import Reader, pack_command

from benchmarks.contestants.order import Order
from benchmarks.contestants.reporting import REPORTER, run_role

LOOPS: Final = 2
"""Concurrent loops."""
CLAIM: Final = f"""
local time = redis.call('TIME')
local now = string.format('%d%03d', time[1], math.floor(time[2] / 1000))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '(0', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local ids, moved, payloads, owned = {{}}, {{}}, {{}}, {{}}
for i = 1, #due, 2 do
    local id = due[i]
    ids[#ids + 1], payloads[#payloads + 1] = id, '{job_key_prefix}' .. id
    moved[i], moved[i + 1] = '-' .. due[i + 1], id
    owned[i], owned[i + 1] = '{in_progress_key_prefix}' .. id, '1'
end
if #ids == 0 then return {{{{}}, {{}}}} end
owned[#owned + 1], owned[#owned + 2], owned[#owned + 3] = 'NX', 'PX', '310000'
redis.call('MSETEX', #ids, unpack(owned))
redis.call('ZADD', KEYS[1], unpack(moved))
return {{ids, redis.call('MGET', unpack(payloads))}}
"""
FINISH: Final = f"""
local PREFIXES = {{'{job_key_prefix}', '{in_progress_key_prefix}', '{retry_key_prefix}'}}
local ended = cmsgpack.unpack(ARGV[1])
local ids, gone, kept = {{}}, {{}}, {{}}
for i = 1, #ended, 2 do
    local id = ended[i]
    ids[#ids + 1] = id
    for _, prefix in ipairs(PREFIXES) do gone[#gone + 1] = prefix .. id end
    if ended[i + 1] then
        kept[#kept + 1], kept[#kept + 2] = '{result_key_prefix}' .. id, ended[i + 1]
    end
end
local count = #kept / 2
if count > 0 then
    kept[#kept + 1], kept[#kept + 2] = 'PX', '3600000'
    redis.call('MSETEX', count, unpack(kept))
end
redis.call('DEL', unpack(gone))
redis.call('ZREM', KEYS[1], unpack(ids))
"""


async def noop(ctx: dict[str, Any]) -> None:
    REPORTER.done()


FUNCTIONS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {"noop": noop}


class Connection(asyncio.Protocol):
    """Pipelined connection: replies arrive in the order of the calls."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            waiting = self._waiting.popleft()
            if isinstance(reply, Exception):
                waiting.set_exception(reply)
            else:
                waiting.set_result(reply)

    def call(self, *words: str | bytes | int) -> asyncio.Future[Any]:
        self._transport.write(pack_command(words))  # type: ignore[arg-type]  # its stub requires a 1-tuple
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        return waiting


async def work(order: Order) -> None:
    address = urlsplit(order.url)
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, str(address.hostname), int(address.port or 6379)
    )
    for script in (CLAIM, FINISH):
        await connection.call("SCRIPT", "LOAD", script)
    await asyncio.gather(*(run_loop(connection, order) for _ in range(LOOPS)))


async def run_loop(connection: Connection, order: Order) -> None:
    claim, finish = (hashlib.sha1(text.encode()).hexdigest() for text in (CLAIM, FINISH))
    size, keep, queue = order.concurrency, order.results, default_queue_name
    while True:
        ids, payloads = await connection.call("EVALSHA", claim, 1, queue, size)
        if not ids:
            await asyncio.sleep(0.005)
            continue
        ended: list[bytes | None] = []
        for job_id, payload in zip(ids, payloads, strict=True):
            job = orjson.loads(payload)
            start = time.time_ns() // 1_000_000
            result = await FUNCTIONS[job["f"]]({}, *job["a"], **job["k"])
            end = time.time_ns() // 1_000_000
            encoded = None
            if keep:
                encoded = orjson.dumps(
                    {**job, "s": True, "r": result, "st": start, "ft": end, "q": queue}
                    | {"id": job_id.decode()}
                )
            ended += (job_id, encoded)
        packed = msgpack.packb(ended, use_bin_type=False)
        await connection.call("EVALSHA", finish, 1, queue, packed)


if __name__ == "__main__":
    run_role(work=work)
