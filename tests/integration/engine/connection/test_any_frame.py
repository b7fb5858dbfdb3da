"""The simulator's socket survives arbitrary input and serves the next client."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.errors import ExternalServiceError
from jobs.testing.clock import FrozenClock
from jobs.testing.voice import FixedPlan
from jobs.voice import Simulator, SimulatorClient, serve
from jobs.voice.protocol import Accepted, CallRequest

TO = "+12125550100"

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
subjects = st.sampled_from(["place", "lookup", "recording", "books", "subscribe", "events"])
messages = st.tuples(
    st.integers(0, 3) | json_values,
    st.integers(0, 3) | json_values,
    subjects | json_values,
    json_values | st.just([[uuid4().hex, TO]]),
)


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


frames = (
    st.binary(max_size=30)
    | st.binary(max_size=30).map(framed)
    | (json_values | messages).map(lambda value: framed(json.dumps(value).encode()))
)


async def send(path: Path, data: bytes) -> None:
    """Write `data`, then read until the other end closes or stays silent."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    with suppress(ConnectionError, TimeoutError):
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(5):
            await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def feed(data: Sequence[bytes]) -> None:
    clock = FrozenClock(datetime(2026, 3, 2, 15, tzinfo=UTC))
    simulator = Simulator(FixedPlan(), clock, spacing=0)
    with tempfile.TemporaryDirectory() as folder:  # tmp_path can be too long for a socket
        path = Path(folder) / "voice"
        async with serve(simulator, path):
            for frame in data:
                await send(path, frame)
            client = SimulatorClient(path)
            request = CallRequest(uuid4(), TO)
            assert isinstance((await client.place([request]))[request.call_id], Accepted)
            await client.close()
    await simulator.close()


@settings(max_examples=20)
@given(st.lists(frames, max_size=20))
@example([framed(b"[0, [], {}, 1]"), framed(b"[0, 0, [], {}]"), b"\xff\xff\xff\xff", framed(b"7")])
@example([framed(b"[" * 100_000), framed(b"9" * 5000), framed(b'[0, 1, "place", [["x"]]]')])
def test_simulator_survives_any_input(data: list[bytes]) -> None:
    asyncio.run(feed(data))


async def reply_with(path: Path, data: bytes) -> asyncio.Server:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(data)
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(reply, str(path))


async def ask(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "voice"
        async with await reply_with(path, data):
            client = SimulatorClient(path)
            with suppress(ExternalServiceError):
                await client.place([CallRequest(uuid4(), TO)])
            with suppress(ExternalServiceError):
                await client.lookup([uuid4()])
            await client.close()


replies = frames | json_values.map(lambda value: framed(json.dumps([1, 0, "", value]).encode()))


@settings(max_examples=40)
@given(replies)
@example(framed(b'[1, 0, "", [1]]'))
@example(framed(b'[1, 0, "", [["00", "a", 2, 3, 4]]]'))
def test_client_raises_only_external_service_error(data: bytes) -> None:
    asyncio.run(ask(data))
