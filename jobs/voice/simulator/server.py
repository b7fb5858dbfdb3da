"""Simulator server and client: several processes share one simulator over a Unix socket.

Any process that can open the socket can place calls, so only its owner can open it.
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
_MIN_BACKOFF: Final = 0.1
_MAX_BACKOFF: Final = 2.0
"""Real seconds between two attempts to connect."""


@asynccontextmanager
async def serve(simulator: Simulator, path: Path) -> AsyncIterator[None]:
    """Serve a simulator on a Unix socket while the block runs.

    The sink of a connected client receives a share of the simulator's events.

    Args:
        simulator: The simulator; the caller closes it.
        path: Socket path; a stale socket there is replaced.

    Raises:
        UsageError: Another process serves at the path, or no socket can be created there.
    """
    sessions: dict[asyncio.Task[None], Peer] = {}

    def start_session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(simulator)
        session.peer = Peer(reader, writer, session.handle)
        task = asyncio.get_running_loop().create_task(session.run())
        sessions[task] = session.peer
        task.add_done_callback(sessions.pop)

    listener = _listen(path)
    server = await asyncio.start_unix_server(start_session, sock=listener, backlog=_BACKLOG)
    try:
        yield
    finally:
        server.close()
        tasks = list(sessions)
        for peer in sessions.values():
            peer.close()
        await asyncio.gather(*tasks)
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and _is_stale(path):
            path.unlink()
        old_umask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(old_umask)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot serve the simulator at {path}: {_reason(error)}") from None
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


class _Session:
    """Session of one client."""

    peer: Peer

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._subscribed = False

    async def handle(self, subject: str, data: Any) -> Any:  # JSON
        match subject:
            case "place":
                requests = [CallRequest(UUID(hex=call_id), to) for call_id, to in data]
                answers = await self._simulator.place(requests)
                return [(call_id.hex, *_pack(answer)) for call_id, answer in answers.items()]
            case "lookup":
                states = await self._simulator.lookup([UUID(hex=call_id) for call_id in data])
                return [
                    (state.call_id.hex, state.provider_id, state.payload, state.last_sequence)
                    for state in states.values()
                ]
            case "recording":
                with suppress(NotFoundError):
                    return b64encode(self._simulator.recording_chunk(*data)).decode()
                return None
            case "records":
                return asdict(await self._simulator.records())
            case "subscribe":
                self._simulator.callbacks.attach(self._deliver)
                self._subscribed = True
                return None
        raise ExternalServiceError(f"unknown request to the simulator: {subject!r}")

    async def run(self) -> None:
        """Serve the client until it disconnects."""
        await self.peer.run()
        if self._subscribed:
            await self._simulator.callbacks.detach(self._deliver)

    async def _deliver(self, events: Sequence[ProviderEvent]) -> None:
        rows = [
            (
                event.provider_id,
                event.kind,
                event.sequence,
                event.call_id and event.call_id.hex,
                event.payload,
            )
            for event in events
        ]
        await self.peer.request("events", rows)


def _pack(answer: Answer) -> tuple[object, ...]:
    match answer:
        case Accepted(provider_id):
            return (provider_id,)
        case Refused(reason, retry_after, permanent):
            return (reason, retry_after, permanent)


def _unpack(fields: Sequence[Any]) -> Answer:
    return Accepted(*fields) if len(fields) == 1 else Refused(*fields)


@contextmanager
def _parse_errors_mapped() -> Iterator[None]:
    """Raise ExternalServiceError if a reply is malformed."""
    try:
        yield
    except (TypeError, ValueError, AttributeError) as error:
        raise ExternalServiceError("the simulator sent a malformed reply") from error


class SimulatorClient:
    """`VoiceProvider` that uses a simulator behind a Unix socket.

    The client connects at its first request, and again after a lost connection. With a sink it
    stays connected.

    Args:
        path: Socket path of the simulator.
        sink: Receives a share of the simulator's events; None receives none.
        timeout: Real seconds to wait for a reply.
    """

    def __init__(self, path: Path, sink: Sink | None = None, *, timeout: float = 30.0) -> None:
        self._path = path
        self._sink = sink
        self._timeout = timeout
        self._peer: Peer | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._connect_lock = asyncio.Lock()
        self._reconnector: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect in the background if there is a sink, to receive events."""
        if self._sink is not None:
            self._reconnector = asyncio.get_running_loop().create_task(self._stay_connected())

    async def place(self, requests: Sequence[CallRequest]) -> Mapping[UUID, Answer]:
        """See `VoiceProvider.place`; refuses all requests while it cannot connect."""
        try:
            peer = await self._connected()
        except ExternalServiceError as error:
            # Nothing was sent, so the fate of the requests is known.
            return {request.call_id: Refused(str(error)) for request in requests}
        rows = [(request.call_id.hex, request.to) for request in requests]
        answers = await self._request(peer, "place", rows)
        with _parse_errors_mapped():
            return {UUID(hex=call_id): _unpack(fields) for call_id, *fields in answers}

    async def lookup(self, call_ids: Sequence[UUID]) -> Mapping[UUID, CallState]:
        """See `VoiceProvider.lookup`."""
        rows = await self._call("lookup", [call_id.hex for call_id in call_ids])
        with _parse_errors_mapped():
            return {
                UUID(hex=call_id): CallState(provider_id, UUID(hex=call_id), payload, last)
                for call_id, provider_id, payload, last in rows
            }

    async def recording(self, url: str) -> AsyncIterator[bytes]:
        """See `VoiceProvider.recording`."""
        recorded_call(url)
        for index in count():
            chunk = await self._call("recording", [url, index])
            if chunk is None:
                raise NotFoundError("recording", url)
            if not chunk:
                return
            with _parse_errors_mapped():
                data = b64decode(chunk)
            yield data

    async def records(self) -> ProviderRecords:
        """Return the simulator's records, which cover all its clients.

        Raises:
            ExternalServiceError: The simulator did not answer.
        """
        records = await self._call("records", None)
        with _parse_errors_mapped():
            return ProviderRecords(**records)

    async def close(self) -> None:
        """Close the connection."""
        if self._reconnector is not None:
            self._reconnector.cancel()
            await asyncio.wait([self._reconnector])
        if self._peer is not None and self._receiver is not None:
            self._peer.close()
            await self._receiver

    async def _call(self, subject: str, data: object) -> Any:  # JSON
        return await self._request(await self._connected(), subject, data)

    async def _request(self, peer: Peer, subject: str, data: object) -> Any:  # JSON
        try:
            async with asyncio.timeout(self._timeout):
                return await peer.request(subject, data)
        except TimeoutError:
            message = f"the simulator did not answer within {self._timeout:g} s"
            raise ExternalServiceError(message) from None

    async def _connected(self) -> Peer:
        async with self._connect_lock:
            if self._peer is None or self._receiver is None or self._receiver.done():
                reader, writer = await self._open_connection()
                peer = self._peer = Peer(reader, writer, self._handle)
                self._receiver = asyncio.get_running_loop().create_task(peer.run())
                if self._sink is not None:
                    await self._request(peer, "subscribe", None)
            return self._peer

    async def _open_connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self._path))
        except OSError as error:
            message = f"cannot connect to the simulator at {self._path}: {_reason(error)}"
            raise ExternalServiceError(message) from None

    async def _handle(self, subject: str, data: Any) -> None:  # JSON
        if subject != "events" or self._sink is None:
            raise ExternalServiceError(f"unknown request to a client: {subject!r}")
        await self._sink(
            [
                ProviderEvent(provider_id, kind, sequence, call_id and UUID(hex=call_id), payload)
                for provider_id, kind, sequence, call_id, payload in data
            ]
        )

    async def _stay_connected(self) -> None:
        backoff = _MIN_BACKOFF
        while True:
            try:
                await self._connected()
            except ExternalServiceError:
                backoff = min(2 * backoff, _MAX_BACKOFF)
            else:
                backoff = _MIN_BACKOFF
                if self._receiver is not None:
                    await asyncio.wait([self._receiver])
            await asyncio.sleep(backoff)
