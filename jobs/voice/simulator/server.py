"""The simulator as an outside service: several processes share one, over a Unix socket.

Whoever may open the socket may dial, so only its owner can.
"""

import asyncio
import os
import socket
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from jobs.errors import ExternalServiceError, NotFoundError, UsageError
from jobs.voice.protocol import (
    Accepted,
    Answer,
    CallRequest,
    CallState,
    ProviderEvent,
    Refused,
    Sink,
)
from jobs.voice.simulator.audio import recorded_call
from jobs.voice.simulator.peer import Peer
from jobs.voice.simulator.provider import ProviderRecords, Simulator

_BACKLOG: Final = 128


@asynccontextmanager
async def serve(simulator: Simulator, path: Path) -> AsyncIterator[None]:
    """Answers clients on the socket `path` for as long as the block runs.

    A client that has a sink is attached to the simulator while it is connected. Raises UsageError
    when another process serves there, or when there can be no socket.
    """
    clients: dict[asyncio.Task[None], Peer] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        desk = _Desk(simulator)
        desk.peer = Peer(reader, writer, desk.answer)
        client = asyncio.get_running_loop().create_task(desk.serve())
        clients[client] = desk.peer
        client.add_done_callback(clients.pop)

    listener = _listen(path)
    server = await asyncio.start_unix_server(connected, sock=listener, backlog=_BACKLOG)
    try:
        yield
    finally:
        server.close()
        leaving = list(clients)
        for peer in clients.values():
            peer.close()
        await asyncio.gather(*leaving)
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and _is_stale(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise UsageError(f"no simulator can be served at {path}: {_reason(error)}") from None
    return listener


def _is_stale(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


class _Desk:
    """Serves one client."""

    peer: Peer

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._subscribed = False

    async def answer(self, subject: str, data: Any) -> Any:  # JSON
        match subject:
            case "place":
                asked = [CallRequest(UUID(hex=call_id), to) for call_id, to in data]
                answers = await self._simulator.place(asked)
                return [(key.hex, *_answer_out(answer)) for key, answer in answers.items()]
            case "lookup":
                states = await self._simulator.lookup([UUID(hex=call_id) for call_id in data])
                return [
                    (s.call_id.hex, s.provider_id, s.payload, s.last_sequence)
                    for s in states.values()
                ]
            case "recording":
                with suppress(NotFoundError):
                    return b64encode(self._simulator.recording_chunk(*data)).decode()
                return None
            case "books":
                return asdict(await self._simulator.records())
            case "subscribe":
                self._simulator.callbacks.attach(self._deliver)
                self._subscribed = True
                return None
        raise ExternalServiceError(f"the simulator does not know {subject!r}")

    async def serve(self) -> None:
        """Runs until the client is gone."""
        await self.peer.run()
        if self._subscribed:
            await self._simulator.callbacks.detach(self._deliver)

    async def _deliver(self, events: Sequence[ProviderEvent]) -> None:
        rows = [
            (e.provider_id, e.kind, e.sequence, e.call_id and e.call_id.hex, e.payload)
            for e in events
        ]
        await self.peer.request("events", rows)


def _answer_out(answer: Answer) -> tuple[object, ...]:
    match answer:
        case Accepted(provider_id):
            return (provider_id,)
        case Refused(reason, retry_after, permanent):
            return (reason, retry_after, permanent)


def _answer_in(parts: Sequence[Any]) -> Answer:
    return Accepted(*parts) if len(parts) == 1 else Refused(*parts)


@contextmanager
def _understood() -> Iterator[None]:
    """Raises ExternalServiceError where an answer has another form than ours."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise ExternalServiceError("the simulator's answer is not understood") from error


class SimulatorClient:
    """A VoiceProvider that asks the simulator behind the socket `path`.

    It connects when it is first used, and again after a connection was lost; with a sink it stays
    connected, and the sink gets a share of the callbacks. timeout: real seconds.
    """

    def __init__(self, path: Path, sink: Sink | None = None, *, timeout: float = 30.0) -> None:
        self._path = path
        self._sink = sink
        self._timeout = timeout
        self._peer: Peer | None = None
        self._running: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts receiving callbacks, where there is a sink."""
        if self._sink is not None:
            self._keeper = asyncio.get_running_loop().create_task(self._stay_connected())

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """As VoiceProvider; refused for now while no simulator answers at the socket."""
        try:
            peer = await self._connected()
        except ExternalServiceError as error:
            # Nothing was sent yet, so the fate of these is known.
            return {request.call_id: Refused(str(error)) for request in requests}
        rows = [(request.call_id.hex, request.to) for request in requests]
        answers = await self._request(peer, "place", rows)
        with _understood():
            return {UUID(hex=call_id): _answer_in(parts) for call_id, *parts in answers}

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """As VoiceProvider."""
        rows = await self._ask("lookup", [call_id.hex for call_id in call_ids])
        with _understood():
            return {
                UUID(hex=call_id): CallState(provider_id, UUID(hex=call_id), payload, last)
                for call_id, provider_id, payload, last in rows
            }

    async def recording(self, url: str) -> AsyncIterator[bytes]:
        """As VoiceProvider. Raises ValidationError for a foreign URL, NotFoundError if none is
        there."""
        recorded_call(url)
        for index in count():
            chunk = await self._ask("recording", [url, index])
            if chunk is None:
                raise NotFoundError("recording", url)
            if not chunk:
                return
            with _understood():
                data = b64decode(chunk)
            yield data

    async def records(self) -> ProviderRecords:
        """The simulator's books, over all its clients."""
        books = await self._ask("books", None)
        with _understood():
            return ProviderRecords(**books)

    async def close(self) -> None:
        """Disconnects."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._peer is not None and self._running is not None:
            self._peer.close()
            await self._running

    async def _ask(self, subject: str, data: object) -> Any:  # JSON
        return await self._request(await self._connected(), subject, data)

    async def _request(self, peer: Peer, subject: str, data: object) -> Any:  # JSON
        try:
            async with asyncio.timeout(self._timeout):
                return await peer.request(subject, data)
        except TimeoutError:
            text = f"the simulator did not answer within {self._timeout:g} s"
            raise ExternalServiceError(text) from None

    async def _connected(self) -> Peer:
        async with self._connecting:
            if self._peer is None or self._running is None or self._running.done():
                reader, writer = await self._reach()
                peer = self._peer = Peer(reader, writer, self._answer)
                self._running = asyncio.get_running_loop().create_task(peer.run())
                if self._sink is not None:
                    await self._request(peer, "subscribe", None)
            return self._peer

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self._path))
        except OSError as error:
            text = f"no simulator answers at {self._path}: {_reason(error)}"
            raise ExternalServiceError(text) from None

    async def _answer(self, subject: str, data: Any) -> None:  # JSON
        if subject != "events" or self._sink is None:
            raise ExternalServiceError(f"a client does not know {subject!r}")
        await self._sink(
            [
                ProviderEvent(provider_id, kind, sequence, call_id and UUID(hex=call_id), payload)
                for provider_id, kind, sequence, call_id, payload in data
            ]
        )

    async def _stay_connected(self) -> None:
        rest = 0.1
        while True:
            try:
                await self._connected()
            except ExternalServiceError:
                rest = min(2 * rest, 2.0)
            else:
                rest = 0.1
                if self._running is not None:
                    await asyncio.wait([self._running])
            await asyncio.sleep(rest)
