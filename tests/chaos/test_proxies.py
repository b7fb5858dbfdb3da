"""Network links: up, slow, cut, silent and half-open."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from jobs.chaos.proxies import Link, State, Tap
from jobs.testing import wait_until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Link], Awaitable[Streams]]
SOON = 0.3
"""Seconds in which a forwarded byte would certainly have arrived."""


class Echo:
    """Server that sends all data back and keeps it in `received`."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(1000):
                self.received += data
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            self.connections -= 1
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def link(echo: Echo) -> AsyncIterator[Link]:
    with tempfile.TemporaryDirectory(prefix="rl-") as name:
        target = Path(name) / "target"
        async with await asyncio.start_unix_server(echo.connected, target):
            link = Link(Path(name) / "link", target)
            await link.start()
            yield link
            await link.close()
            assert not link.path.exists()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open connections through a link, and abort them after the test."""
    opened: list[asyncio.StreamWriter] = []

    async def connect(link: Link) -> Streams:
        reader, writer = await asyncio.open_unix_connection(str(link.path))
        opened.append(writer)
        return reader, writer

    yield connect
    for writer in opened:
        writer.transport.abort()
    await asyncio.sleep(0)  # a transport closes its socket in the loop's next iteration


async def echoed(streams: Streams, text: bytes) -> bytes:
    """Send text and return its echo."""
    reader, writer = streams
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), 5)


async def receives_nothing(streams: Streams) -> bool:
    try:
        await asyncio.wait_for(streams[0].read(1), SOON)
    except TimeoutError:
        return True
    return False


async def is_broken(streams: Streams) -> bool:
    try:
        return await asyncio.wait_for(streams[0].read(1), 5) == b""
    except ConnectionError:
        return True


async def test_link_forwards_in_both_directions(connect: Connect, link: Link, echo: Echo) -> None:
    one, two = await connect(link), await connect(link)
    assert await echoed(one, b"one") == b"one"
    assert await echoed(two, b"two" * 100_000) == b"two" * 100_000
    one[1].close()
    await wait_until(lambda: echo.connections == 1)
    two[1].close()


async def test_cut_link_aborts_open_and_new_connections(
    connect: Connect, link: Link, echo: Echo
) -> None:
    streams = await connect(link)
    await echoed(streams, b"x")
    link.set(State.CUT)
    assert await is_broken(streams)
    assert await is_broken(await connect(link))
    await wait_until(lambda: echo.connections == 0)
    link.set(State.UP)
    assert await echoed(await connect(link), b"again") == b"again"


async def test_silent_link_delivers_once_it_is_up_again(
    connect: Connect, link: Link, echo: Echo
) -> None:
    streams = await connect(link)
    await echoed(streams, b"x")
    link.set(State.SILENT)
    streams[1].write(b"late")
    assert await receives_nothing(streams)
    assert echo.received == b"x"
    link.set(State.UP)
    assert await asyncio.wait_for(streams[0].readexactly(4), 5) == b"late"


async def test_half_open_link_loses_data_silently(connect: Connect, link: Link, echo: Echo) -> None:
    streams = await connect(link)
    await echoed(streams, b"x")
    link.set(State.HALF_OPEN)
    await wait_until(lambda: echo.connections == 0)
    streams[1].write(b"lost")
    new = await connect(link)
    new[1].write(b"lost too")
    assert await receives_nothing(streams)
    assert await receives_nothing(new)
    link.set(State.UP)
    assert await is_broken(streams)
    assert await is_broken(new)
    assert echo.received == b"x"
    assert await echoed(await connect(link), b"again") == b"again"


async def test_slow_link_delays_both_directions(connect: Connect, link: Link) -> None:
    streams = await connect(link)
    link.set(State.UP, delay=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await echoed(streams, b"x") == b"x"
    assert loop.time() - started >= 0.2


async def test_tap_sees_each_chunk_first_and_can_stop_it(
    connect: Connect, link: Link, echo: Echo
) -> None:
    chunks: list[list[bytes]] = []

    def make_tap() -> Tap:
        own: list[bytes] = []
        chunks.append(own)

        def tap(data: bytes) -> None:
            own.append(data)
            if data == b"stop" or own == [b"lost back", b"lost back"]:
                tapped_link.set(State.CUT)
                tapped_link.set(State.UP)

        return tap

    tapped_link = Link(link.path.with_name("tapped"), link.path.with_name("target"), make_tap)
    await tapped_link.start()
    one = await connect(tapped_link)
    assert await echoed(one, b"x") == b"x"
    one[1].write(b"stop")
    assert await is_broken(one)
    two = await connect(tapped_link)
    two[1].write(b"lost back")
    assert await is_broken(two)
    assert chunks == [[b"x", b"x", b"stop"], [b"lost back", b"lost back"]]
    assert echo.received == b"xlost back"
    await tapped_link.close()


async def test_link_without_a_target_aborts_connections(
    connect: Connect, link: Link, echo: Echo
) -> None:
    away = Link(link.path.with_name("away"), link.path.with_name("nobody"))
    await away.start()
    assert await is_broken(await connect(away))
    await away.close()
