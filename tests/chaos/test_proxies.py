"""The network between a worker and its peers, as it is broken on purpose."""

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
"""Seconds in which a byte would certainly have come."""


class Echo:
    """A server that answers with what it is sent; `heard` has all of that."""

    def __init__(self) -> None:
        self.heard = b""
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
                self.heard += data
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
    """Opens connections through a link, closed afterwards."""
    opened: list[asyncio.StreamWriter] = []

    async def connect(link: Link) -> Streams:
        reader, writer = await asyncio.open_unix_connection(str(link.path))
        opened.append(writer)
        return reader, writer

    yield connect
    for writer in opened:
        writer.transport.abort()
    await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn


async def says(streams: Streams, text: bytes) -> bytes:
    """What comes back for it."""
    reader, writer = streams
    writer.write(text)
    return await asyncio.wait_for(reader.readexactly(len(text)), 5)


async def hears_nothing(streams: Streams) -> bool:
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


async def test_what_is_sent_gets_through_and_back(connect: Connect, link: Link, echo: Echo) -> None:
    one, two = await connect(link), await connect(link)
    assert await says(one, b"one") == b"one"
    assert await says(two, b"two" * 100_000) == b"two" * 100_000
    one[1].close()
    await wait_until(lambda: echo.connections == 1)
    two[1].close()


async def test_a_cut_breaks_connections_and_refuses_new_ones(
    connect: Connect, link: Link, echo: Echo
) -> None:
    streams = await connect(link)
    await says(streams, b"x")
    link.set(State.CUT)
    assert await is_broken(streams)
    assert await is_broken(await connect(link))
    await wait_until(lambda: echo.connections == 0)
    link.set(State.UP)
    assert await says(await connect(link), b"again") == b"again"


async def test_a_silent_network_delivers_late(connect: Connect, link: Link, echo: Echo) -> None:
    streams = await connect(link)
    await says(streams, b"x")
    link.set(State.SILENT)
    streams[1].write(b"late")
    assert await hears_nothing(streams)
    assert echo.heard == b"x"
    link.set(State.UP)
    assert await asyncio.wait_for(streams[0].readexactly(4), 5) == b"late"


async def test_half_open_connections_swallow_what_is_sent(
    connect: Connect, link: Link, echo: Echo
) -> None:
    streams = await connect(link)
    await says(streams, b"x")
    link.set(State.HALF_OPEN)
    await wait_until(lambda: echo.connections == 0)
    streams[1].write(b"lost")
    new = await connect(link)
    new[1].write(b"lost too")
    assert await hears_nothing(streams)
    assert await hears_nothing(new)
    link.set(State.UP)
    assert await is_broken(streams)
    assert await is_broken(new)
    assert echo.heard == b"x"
    assert await says(await connect(link), b"again") == b"again"


async def test_a_slow_network_takes_its_time_both_ways(connect: Connect, link: Link) -> None:
    streams = await connect(link)
    link.set(State.UP, delay=0.1)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await says(streams, b"x") == b"x"
    assert loop.time() - started >= 0.2


async def test_a_tap_gets_all_pieces_first_and_may_stop_them(
    connect: Connect, link: Link, echo: Echo
) -> None:
    pieces: list[list[bytes]] = []

    def tapped() -> Tap:
        own: list[bytes] = []
        pieces.append(own)

        def tap(data: bytes) -> None:
            own.append(data)
            if data == b"stop" or own == [b"lost back", b"lost back"]:
                tapped_link.set(State.CUT)
                tapped_link.set(State.UP)

        return tap

    tapped_link = Link(link.path.with_name("tapped"), link.path.with_name("target"), tapped)
    await tapped_link.start()
    one = await connect(tapped_link)
    assert await says(one, b"x") == b"x"
    one[1].write(b"stop")
    assert await is_broken(one)
    two = await connect(tapped_link)
    two[1].write(b"lost back")
    assert await is_broken(two)
    assert pieces == [[b"x", b"x", b"stop"], [b"lost back", b"lost back"]]
    assert echo.heard == b"xlost back"
    await tapped_link.close()


async def test_without_its_target_a_link_breaks_off(
    connect: Connect, link: Link, echo: Echo
) -> None:
    away = Link(link.path.with_name("away"), link.path.with_name("nobody"))
    await away.start()
    assert await is_broken(await connect(away))
    await away.close()
