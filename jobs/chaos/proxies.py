"""Network between a worker and its peers: Unix sockets that forward to other Unix sockets."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Final

_CHUNK: Final = 64 * 1024

Tap = Callable[[bytes], None]
"""Receives each chunk of a connection, in either direction, before it is forwarded."""


class State(Enum):
    """State of a link."""

    UP = auto()
    CUT = auto()
    """All connections are aborted; new connections are aborted too."""
    SILENT = auto()
    """Nothing is forwarded, without any error. Data arrives when the link is up again."""
    HALF_OPEN = auto()
    """The far end is closed, but the near end does not notice: its data is lost. New connections
    behave the same. When the link is up again, all of these connections are aborted."""


class Link:
    """Unix socket that forwards to another Unix socket, and back.

    Args:
        path: Socket to listen on.
        target: Socket to forward to.
        make_tap: Makes a tap for each connection. A tap that changes the link's state affects the
            chunk that it received, too.
    """

    def __init__(self, path: Path, target: Path, make_tap: Callable[[], Tap] | None = None) -> None:
        self.path = path
        self._target = target
        self._make_tap = make_tap
        self._state = State.UP
        self._delay = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_unix_server(self._connected, self.path)

    async def close(self) -> None:
        """Stop listening, abort all connections and remove the socket."""
        if self._server is not None:
            self._server.close()
        self._abort_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    def set(self, state: State, delay: float = 0.0) -> None:
        """Change the state of the link and of its connections.

        Args:
            state: New state.
            delay: Delay in seconds, in each direction.
        """
        before, self._state, self._delay = self._state, state, delay
        if state is State.CUT or before is State.HALF_OPEN:
            self._abort_all()
        elif state is State.HALF_OPEN:
            for connection in self._connections:
                connection.abort_far_end()
        if state is State.SILENT:
            self._open.clear()
        else:
            self._open.set()

    def _abort_all(self) -> None:
        for connection in self._connections:
            connection.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self._make_tap() if self._make_tap else None)
        self._connections.add(connection)
        try:
            if self._state is State.CUT:
                return
            far_reader = None
            if self._state is not State.HALF_OPEN:
                far_reader, connection.far = await asyncio.open_unix_connection(str(self._target))
            backward = asyncio.create_task(self._forward_back(far_reader, connection))
            try:
                await self._forward(reader, connection)
            finally:
                backward.cancel()
                await asyncio.wait([backward])
        except OSError:
            return  # the target is down, or an end closed the connection
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _forward(self, reader: asyncio.StreamReader, connection: "_Connection") -> None:
        while data := await reader.read(_CHUNK):
            await self._pass(data, connection)
            if connection.far is not None:
                connection.far.write(data)
                await connection.far.drain()

    async def _forward_back(
        self, reader: asyncio.StreamReader | None, connection: "_Connection"
    ) -> None:
        if reader is None:
            return
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._pass(data, connection)
                connection.near.write(data)
                await connection.near.drain()
        if connection.far is not None:  # if half-open, the near end must not notice
            connection.abort()

    async def _pass(self, data: bytes, connection: "_Connection") -> None:
        """Tap a chunk, delay it, and hold it while the link is silent."""
        if connection.tap is not None:
            connection.tap(data)
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._open.wait()


class _Connection:
    """One connection through a link; `far` is None once the far end is gone."""

    def __init__(self, near: asyncio.StreamWriter, tap: Tap | None) -> None:
        self.near = near
        self.tap = tap
        self.far: asyncio.StreamWriter | None = None

    def abort_far_end(self) -> None:
        far, self.far = self.far, None
        if far is not None:
            far.transport.abort()

    def abort(self) -> None:
        self.abort_far_end()
        self.near.transport.abort()
