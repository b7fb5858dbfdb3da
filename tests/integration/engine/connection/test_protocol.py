"""The connection that scripts go over, on either event loop, against servers that misbehave."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import ConnectionPool, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, ResponseError

from jobs.engine.connection.protocol import RedisProtocol, pack_command
from jobs.engine.connection.raw_connection import make_connection
from jobs.testing.waiting import wait_until

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    def run(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(test)

    return run


class Heard:
    """What a wire has told."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.losses: list[Exception] = []

    def over(self, connection: UnixDomainSocketConnection) -> RedisProtocol:
        return RedisProtocol(connection, on_reply=self.answers.append, on_lost=self.losses.append)


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Any]:
    """What redis-py has connected to a server that does as `served` says."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await served(reader, writer)
        finally:
            writer.close()
            ended.set()

    with tempfile.TemporaryDirectory() as folder:  # tmp_path can be too long for a socket
        path = str(Path(folder) / "redis")
        async with await asyncio.start_unix_server(serve, path):
            pool = ConnectionPool(
                UnixDomainSocketConnection, path=path, lib_name=None, lib_version=None
            )
            connection = make_connection(pool, protocol=2)
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
            yield connection
            await ended.wait()


def test_answers_arrive_as_redis_py_reads_them(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(pack_command("PING")))
        for part in (b"+PO", b"NG\r\n-NOSCRIPT none\r\n:", b"7\r\n*2\r\n$-1\r\n-ERR bad\r\n"):
            writer.write(part)
            await writer.drain()
        await reader.read()

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            wire = heard.over(connection)
            wire.send(pack_command("PING"))
            await wait_until(lambda: len(heard.answers) == 4)
            wire.close()
        pong, no_script, seven, (nothing, error) = heard.answers
        assert (pong, seven, nothing) == (b"PONG", 7, None)
        assert isinstance(no_script, NoScriptError)
        assert isinstance(error, ResponseError)
        assert heard.losses == []

    run(test())


def test_a_server_that_hangs_up_is_told_of_once(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            wire = heard.over(connection)
            wire.send(pack_command("PING"))
            await wait_until(lambda: heard.losses)
            with pytest.raises(RedisConnectionError):
                wire.send(pack_command("PING"))
        (lost,) = heard.losses
        assert isinstance(lost, RedisConnectionError)

    run(test())


def test_one_that_has_hung_up_already_cannot_be_taken_over(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            await wait_until(connection._reader.at_eof)
            with pytest.raises(RedisConnectionError):
                heard.over(connection)
        assert heard.losses == []

    run(test())


def test_what_is_no_answer_ends_it(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+fine\r\nHTTP/1.1 400 Bad Request\r\n")
        await reader.read()

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            heard.over(connection)
            await wait_until(lambda: heard.losses)
        assert heard.answers == [b"fine"]
        assert isinstance(heard.losses[0], InvalidResponse)

    run(test())


def test_it_says_when_the_server_does_not_keep_up(run: Run) -> None:
    reads = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads.wait()
        await reader.read()

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            wire = heard.over(connection)
            assert wire.is_writable
            while wire.is_writable:
                wire.send(bytes(1_000_000))
            reads.set()
            async with asyncio.timeout(30):
                await wire.wait_until_writable()
            assert wire.is_writable
            wire.close()
        assert heard.losses == []

    run(test())


def test_nobody_waits_for_room_on_what_is_closed(run: Run) -> None:
    """A transport that still has something to send stays open until it can."""
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.transport.abort()

    async def test() -> None:
        async with connected(serve) as connection:
            wire = Heard().over(connection)
            while wire.is_writable:
                wire.send(bytes(1_000_000))
            waiting = asyncio.create_task(wire.wait_until_writable())
            await asyncio.sleep(0)
            wire.close()
            async with asyncio.timeout(30):
                await waiting
            ends.set()

    run(test())


def test_nobody_waits_for_room_on_what_is_lost(run: Run) -> None:
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.transport.abort()

    async def test() -> None:
        heard = Heard()
        async with connected(serve) as connection:
            wire = heard.over(connection)
            while wire.is_writable:
                wire.send(bytes(1_000_000))
            ends.set()
            async with asyncio.timeout(30):
                await wire.wait_until_writable()
        assert len(heard.losses) == 1

    run(test())
