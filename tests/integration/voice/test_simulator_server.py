"""One simulator shared by several processes, also when one of them is killed."""

import asyncio
import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from jobs.errors import ExternalServiceError, NotFoundError, UsageError, ValidationError
from jobs.testing.clock import FrozenClock
from jobs.testing.voice import EventLog, FixedPlan
from jobs.voice import Simulator, SimulatorClient, Trouble, serve
from jobs.voice.protocol import Accepted, CallRequest, ProviderEvent, Refused
from jobs.voice.simulator.script import answered

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
TO = "+12125550100"
HOUR = timedelta(hours=1)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path can be too long for a socket
        yield Path(folder) / "voice"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def start_serving(
    stack: AsyncExitStack, clock: FrozenClock, path: Path, trouble: Trouble | None = None
) -> Simulator:
    plan = FixedPlan({TO: [answered(60, "converted", recording_after=3)]})
    simulator = Simulator(plan, clock, trouble=trouble, spacing=0)
    stack.push_async_callback(simulator.close)
    await stack.enter_async_context(serve(simulator, path))
    return simulator


async def connected_client(
    stack: AsyncExitStack, path: Path, log: EventLog | None = None
) -> SimulatorClient:
    client = SimulatorClient(path, log)
    stack.push_async_callback(client.close)
    await client.open()
    return client


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def requests(count: int) -> list[CallRequest]:
    return [CallRequest(uuid4(), f"+1212555{100 + n:04d}") for n in range(count)]


async def test_client_behaves_like_the_simulator(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    log = EventLog()
    client = await connected_client(stack, path, log)
    calls = requests(20)

    answers = await client.place(calls)
    clock.advance(HOUR)
    await simulator.settle()
    await log.wait_for(62)

    assert answers == await simulator.place(calls)
    ids = [request.call_id for request in calls]
    assert await client.lookup([*ids, uuid4()]) == await simulator.lookup(ids)
    assert await client.records() == await simulator.records()
    assert {event.call_id for event in log.events} == set(ids)
    (recording,) = [event for event in log.events if event.kind == "recording"]
    url = str(recording.payload["url"])
    assert [c async for c in client.recording(url)] == [c async for c in simulator.recording(url)]


async def test_refusals_and_unknown_fates_reach_the_client(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    trouble = Trouble(wait=0.3, refuse=0.2, dropped=0.2, invalid=0.1)
    simulator = await start_serving(stack, clock, path, trouble)
    client = await connected_client(stack, path)
    calls = requests(200)

    answers = await client.place(calls)

    records = await simulator.records()
    accepted = [a for a in answers.values() if isinstance(a, Accepted)]
    refused = [a for a in answers.values() if isinstance(a, Refused)]
    assert (len(accepted), len(refused)) == (records.accepted, records.refused)
    assert len(calls) - len(answers) == records.dropped > 0
    assert {answer.retry_after for answer in refused} == {None, 2.0}
    assert {answer.permanent for answer in refused} == {True, False}


async def test_errors_reach_the_client(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    await start_serving(stack, clock, path, Trouble(deaf=1))
    client = await connected_client(stack, path)

    with pytest.raises(ExternalServiceError, match="did not answer a lookup"):
        await client.lookup([uuid4()])
    with pytest.raises(NotFoundError):
        await anext(client.recording(f"simulator://recordings/{uuid4()}"))
    with pytest.raises(ValidationError):
        await anext(client.recording("https://example.com/recording"))


async def test_concurrent_clients_dial_each_call_once(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    clients = [await connected_client(stack, path) for _ in range(3)]
    calls = requests(50)

    answers = await asyncio.gather(
        *(client.place([request]) for request in calls for client in clients for _ in range(2))
    )

    records = await simulator.records()
    assert (records.requests, records.accepted, records.repeated_keys) == (300, 50, 250)
    assert len({answer for place in answers for answer in place.values()}) == 50


async def test_each_callback_goes_to_one_client(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    logs = [EventLog(), EventLog()]
    clients = [await connected_client(stack, path, log) for log in logs]
    for _ in range(10):
        await asyncio.gather(*(client.place(requests(5)) for client in clients))
        clock.advance(HOUR)
        await simulator.settle()

    delivered = [(e.provider_id, e.kind, e.sequence) for log in logs for e in log.events]
    assert len(delivered) == len(set(delivered)) == (await simulator.records()).delivered
    assert all(log.events for log in logs)


async def test_client_refuses_requests_until_the_simulator_serves(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    log = EventLog()
    client = await connected_client(stack, path, log)
    calls = requests(1)
    answers = await client.place(calls)
    assert isinstance(answers[calls[0].call_id], Refused)
    with pytest.raises(ExternalServiceError, match=str(path)):
        await client.lookup([calls[0].call_id])

    simulator = await start_serving(stack, clock, path)
    answers = await client.place(calls)
    clock.advance(HOUR)
    await simulator.settle()
    await log.wait_for(4)

    assert isinstance(answers[calls[0].call_id], Accepted)


async def test_lost_connection_leaves_the_fate_unknown(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    plan = FixedPlan()
    simulator = Simulator(plan, clock, trouble=Trouble(slow=1, slow_seconds=60), spacing=0)
    client = await connected_client(stack, path)
    (request,) = requests(1)
    async with serve(simulator, path):
        placing = asyncio.ensure_future(client.place([request]))
        while not simulator.requests_for(request.call_id):
            await client.records()
    with pytest.raises(ExternalServiceError):
        await placing
    async with serve(simulator, path):
        states = await client.lookup([request.call_id])
        await client.close()
    await simulator.close()

    assert states.keys() == {request.call_id}


async def test_unresponsive_simulator_leaves_the_fate_unknown(path: Path) -> None:
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(path))
    silent.listen()
    client = SimulatorClient(path, timeout=0.05)

    with pytest.raises(ExternalServiceError, match=r"within 0\.05 s"):
        await client.place(requests(1))

    await client.close()
    silent.close()


CLIENT_PROGRAM = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from jobs.voice import SimulatorClient
from jobs.voice.protocol import CallRequest

async def never_stores(events):
    print("got", len(events), flush=True)
    await asyncio.Event().wait()

async def main(path, *ids):
    client = SimulatorClient(Path(path), never_stores)
    await client.open()
    calls = [CallRequest(UUID(i), f"+1212555{100 + n:04d}") for n, i in enumerate(ids)]
    await client.place(calls)
    print("placed", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_client_loses_no_call_and_no_callback(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    ids = [uuid4() for _ in range(10)]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CLIENT_PROGRAM,
        str(path),
        *(str(call_id) for call_id in ids),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    async with asyncio.timeout(20):
        assert await child.stdout.readline() == b"placed\n"
        clock.advance(HOUR)
        settled = asyncio.ensure_future(simulator.settle())
        assert await child.stdout.readline() == b"got 32\n"
        child.send_signal(signal.SIGKILL)
        await child.wait()

        log = EventLog()
        client = await connected_client(stack, path, log)
        await settled
        await log.wait_for(32)

    calls = [CallRequest(call_id, f"+1212555{100 + n:04d}") for n, call_id in enumerate(ids)]
    assert all(isinstance(a, Accepted) for a in (await client.place(calls)).values())
    states = await client.lookup(ids)
    assert {state.payload["status"] for state in states.values()} == {"completed", "no-answer"}
    records = await client.records()
    assert (records.accepted, records.ended, records.delivered) == (10, 10, 32)
    assert (records.requests, records.repeated_keys) == (20, 10)


async def test_failing_sink_receives_its_callbacks_again(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    log = EventLog()
    failures = iter([RuntimeError("no database")])

    async def sink(events: Sequence[ProviderEvent]) -> None:
        for failure in failures:
            raise failure
        await log(events)

    client = SimulatorClient(path, sink)
    stack.push_async_callback(client.close)
    await client.open()
    await client.place([CallRequest(UUID(int=1), TO)])
    clock.advance(HOUR)
    await simulator.settle()

    assert [event.sequence for event in log.events] == [0, 1, 2, 3, 0]
    assert (await client.records()).failed_deliveries == 1


async def test_only_the_owner_can_open_the_socket(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    old_umask = os.umask(0)
    try:
        await start_serving(stack, clock, path)
    finally:
        os.umask(old_umask)

    assert permissions(path) == 0o600


async def test_stale_socket_is_replaced_and_a_live_one_is_not(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    stale_socket = socket.socket(socket.AF_UNIX)
    stale_socket.bind(str(path))
    stale_socket.close()
    await start_serving(stack, clock, path)

    with pytest.raises(UsageError, match=str(path)):
        await start_serving(stack, clock, path)


@pytest.mark.parametrize("bad", ["x" * 120, "missing/voice"])
async def test_unusable_socket_path_is_rejected_in_one_line(
    stack: AsyncExitStack, clock: FrozenClock, path: Path, bad: str
) -> None:
    with pytest.raises(UsageError, match="cannot serve the simulator at"):
        await start_serving(stack, clock, path.parent / bad)


async def test_malformed_frames_do_not_affect_other_clients(
    stack: AsyncExitStack, clock: FrozenClock, path: Path
) -> None:
    simulator = await start_serving(stack, clock, path)
    client = await connected_client(stack, path)
    for frame in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\4oops", b"\0\0\0\2[]", b"\0\0"):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(frame)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    await client.place(requests(1))

    assert (await simulator.records()).accepted == 1
