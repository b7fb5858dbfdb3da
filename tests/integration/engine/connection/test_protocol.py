"""The Redis protocol on both event loops, against servers that misbehave."""

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

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
Run = Callable[[Coroutine[Any, Any, None]], None]

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    def run(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(test)

    return run


class Recorder:
    """Records the replies and the losses that a protocol reports."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.losses: list[Exception] = []

    def take_over(self, connection: UnixDomainSocketConnection) -> RedisProtocol:
        return RedisProtocol(connection, on_reply=self.replies.append, on_lost=self.losses.append)


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[Any]:
    """Yield a connection that redis-py opened to a server that runs `handler`."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
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


def test_replies_are_parsed_as_redis_py_parses_them(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(pack_command("PING")))
        for part in (b"+PO", b"NG\r\n-NOSCRIPT none\r\n:", b"7\r\n*2\r\n$-1\r\n-ERR bad\r\n"):
            writer.write(part)
            await writer.drain()
        await reader.read()

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            protocol = recorder.take_over(connection)
            protocol.send(pack_command("PING"))
            await wait_until(lambda: len(recorder.replies) == 4)
            protocol.close()
        pong, no_script, seven, (nothing, error) = recorder.replies
        assert (pong, seven, nothing) == (b"PONG", 7, None)
        assert isinstance(no_script, NoScriptError)
        assert isinstance(error, ResponseError)
        assert recorder.losses == []

    run(test())


def test_closed_connection_is_reported_once(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            protocol = recorder.take_over(connection)
            protocol.send(pack_command("PING"))
            await wait_until(lambda: recorder.losses)
            with pytest.raises(RedisConnectionError):
                protocol.send(pack_command("PING"))
        (lost,) = recorder.losses
        assert isinstance(lost, RedisConnectionError)

    run(test())


def test_closed_connection_cannot_be_taken_over(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            await wait_until(connection._reader.at_eof)
            with pytest.raises(RedisConnectionError):
                recorder.take_over(connection)
        assert recorder.losses == []

    run(test())


def test_invalid_reply_closes_the_connection(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+fine\r\nHTTP/1.1 400 Bad Request\r\n")
        await reader.read()

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            recorder.take_over(connection)
            await wait_until(lambda: recorder.losses)
        assert recorder.replies == [b"fine"]
        assert isinstance(recorder.losses[0], InvalidResponse)

    run(test())


def test_protocol_is_not_writable_while_the_server_does_not_read(run: Run) -> None:
    reads = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads.wait()
        await reader.read()

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            protocol = recorder.take_over(connection)
            assert protocol.is_writable
            while protocol.is_writable:
                protocol.send(bytes(1_000_000))
            reads.set()
            async with asyncio.timeout(30):
                await protocol.wait_until_writable()
            assert protocol.is_writable
            protocol.close()
        assert recorder.losses == []

    run(test())


def test_close_ends_the_wait_until_writable(run: Run) -> None:
    """A transport with unsent data stays open until it can send them."""
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.transport.abort()

    async def test() -> None:
        async with connected(serve) as connection:
            protocol = Recorder().take_over(connection)
            while protocol.is_writable:
                protocol.send(bytes(1_000_000))
            waiting = asyncio.create_task(protocol.wait_until_writable())
            await asyncio.sleep(0)
            protocol.close()
            async with asyncio.timeout(30):
                await waiting
            ends.set()

    run(test())


def test_lost_connection_ends_the_wait_until_writable(run: Run) -> None:
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ends.wait()
        writer.transport.abort()

    async def test() -> None:
        recorder = Recorder()
        async with connected(serve) as connection:
            protocol = recorder.take_over(connection)
            while protocol.is_writable:
                protocol.send(bytes(1_000_000))
            ends.set()
            async with asyncio.timeout(30):
                await protocol.wait_until_writable()
        assert len(recorder.losses) == 1

    run(test())
