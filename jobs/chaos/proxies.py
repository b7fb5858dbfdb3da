"""The network between a worker and what it talks to: a Unix socket in front of another one."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final

_CHUNK: Final = 64 * 1024

Tap = Callable[[bytes], None]
"""Gets each piece of a connection, of either direction, before it is passed on."""


class State(Enum):
    """How a link is."""

    UP = auto()
    CUT = auto()
    """Connections are broken, and new ones too."""
    SILENT = auto()
    """Nothing gets through, and nobody is told; what was sent arrives when the link is up again."""
    HALF_OPEN = auto()
    """The far end has closed, and the near end does not know: what it sends is lost. New
    connections fare alike. When the link is up again, all of these are broken."""


class Link:
    """Listens at `path` and passes on to `target` and back. delay: seconds, each way.

    tapped: makes a tap for each connection; one that changes how the link is does so for the piece
    that it got too.
    """

    def __init__(self, path: Path, target: Path, tapped: Callable[[], Tap] | None = None) -> None:
        self.path = path
        self._target = target
        self._tapped = tapped
        self._state = State.UP
        self._delay = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, self.path)

    async def close(self) -> None:
        """Breaks all connections."""
        if self._server is not None:
            self._server.close()
        self._break_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    def set(self, state: State, delay: float = 0.0) -> None:
        """Changes how the link is."""
        before, self._state, self._delay = self._state, state, delay
        if state is State.CUT or before is State.HALF_OPEN:
            self._break_all()
        elif state is State.HALF_OPEN:
            for connection in self._connections:
                connection.lose_far_end()
        if state is State.SILENT:
            self._open.clear()
        else:
            self._open.set()

    def _break_all(self) -> None:
        for connection in self._connections:
            connection.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self._tapped() if self._tapped else None)
        self._connections.add(connection)
        try:
            if self._state is State.CUT:
                return
            far_reader = None
            if self._state is not State.HALF_OPEN:
                far_reader, connection.far = await asyncio.open_unix_connection(str(self._target))
            back = asyncio.create_task(self._bring_back(far_reader, connection))
            try:
                await self._pass_on(reader, connection)
            finally:
                back.cancel()
                await asyncio.wait([back])
        except OSError:
            return  # the target is down, or either end broke off
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, connection: "_Connection") -> None:
        while data := await reader.read(_CHUNK):
            await self._travel(data, connection)
            if connection.far is not None:
                connection.far.write(data)
                await connection.far.drain()

    async def _bring_back(
        self, reader: asyncio.StreamReader | None, connection: "_Connection"
    ) -> None:
        if reader is None:
            return
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._travel(data, connection)
                connection.near.write(data)
                await connection.near.drain()
        if connection.far is not None:  # else the near end is not to know
            connection.abort()

    async def _travel(self, data: bytes, connection: "_Connection") -> None:
        if connection.tap is not None:
            connection.tap(data)
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._open.wait()


class _Connection:
    """One connection through the link. far: None where the far end is lost."""

    def __init__(self, near: asyncio.StreamWriter, tap: Tap | None) -> None:
        self.near = near
        self.tap = tap
        self.far: asyncio.StreamWriter | None = None

    def lose_far_end(self) -> None:
        far, self.far = self.far, None
        if far is not None:
            far.transport.abort()

    def abort(self) -> None:
        self.lose_far_end()
        self.near.transport.abort()
