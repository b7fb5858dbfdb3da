"""Simulator as a voice provider: requests, events, lookups, recordings and records."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from jobs.clock import ScaledClock
from jobs.errors import ExternalServiceError, NotFoundError, ValidationError
from jobs.testing.clock import FrozenClock
from jobs.testing.voice import EventLog, FixedPlan
from jobs.voice import Disorder, Mix, Plan, SeededPlan, Simulator, Trouble
from jobs.voice.protocol import Accepted, CallRequest, ProviderEvent, Refused
from jobs.voice.simulator.script import answered, failed

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
TO = "+12125550100"
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@asynccontextmanager
async def simulating(
    clock: FrozenClock,
    log: EventLog,
    plan: Plan | None = None,
    *,
    disorder: Disorder | None = None,
    trouble: Trouble | None = None,
) -> AsyncIterator[Simulator]:
    simulator = Simulator(
        plan or FixedPlan({TO: [answered(60, "converted", recording_after=3)]}),
        clock,
        log,
        disorder=disorder,
        trouble=trouble,
        spacing=0,
    )
    try:
        yield simulator
    finally:
        await simulator.close()


def requests(count: int, to: str | None = None) -> list[CallRequest]:
    return [CallRequest(uuid4(), to or f"+1212555{100 + n:04d}") for n in range(count)]


async def test_events_arrive_when_due(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log) as simulator:
        (request,) = requests(1, TO)
        answers = await simulator.place([request])
        await simulator.settle()
        assert log.events == []

        clock.advance(timedelta(seconds=3))
        await simulator.settle()
        assert [event.payload["status"] for event in log.events] == ["initiated", "ringing"]
        assert not simulator.idle.is_set()

        clock.advance(HOUR)
        await simulator.settle()

    answer = answers[request.call_id]
    assert isinstance(answer, Accepted)
    assert [(e.kind, e.sequence) for e in log.events] == [
        ("status", 0),
        ("status", 1),
        ("status", 2),
        ("status", 3),
        ("recording", 0),
    ]
    assert {e.provider_id for e in log.events} == {answer.provider_id}
    assert {e.call_id for e in log.events} == {request.call_id}
    assert log.events[3].payload == {
        "status": "completed",
        "sip_code": 200,
        "duration": 60,
        "answered_by": "human",
        "price": "0.0140",
        "outcome": "converted",
        "at": (START + timedelta(seconds=70)).isoformat(),
    }
    assert simulator.idle.is_set()


async def test_events_arrive_as_the_clock_runs(log: EventLog) -> None:
    loop_start = datetime.now(UTC)
    clock = ScaledClock(START, 1000.0, loop_start.timestamp())
    simulator = Simulator(SeededPlan(4, Mix.only(no_answer=1)), clock, log, spacing=0)

    await simulator.place(requests(50))
    async with asyncio.timeout(10):
        await simulator.idle.wait()
    await simulator.close()

    assert len(log.events) == 150
    assert (await simulator.records()).ended == 50


async def test_due_events_arrive_in_one_batch(clock: FrozenClock) -> None:
    batches: list[int] = []

    async def sink(events: Sequence[ProviderEvent]) -> None:
        batches.append(len(events))

    simulator = Simulator(FixedPlan(), clock, sink, spacing=0)
    await simulator.place(requests(300))
    clock.advance(HOUR)
    await simulator.settle()
    await simulator.close()

    assert batches == [900]


async def test_call_requested_repeatedly_is_dialed_once(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log) as simulator:
        calls = requests(5)
        answers = [await simulator.place(calls * 2)]
        answers += await asyncio.gather(*(simulator.place(calls) for _ in range(10)))
        clock.advance(HOUR)
        answers.append(await simulator.place(calls))
        await simulator.settle()

        records = await simulator.records()
        assert all(answer == answers[0] for answer in answers)
        assert simulator.requests_for(calls[0].call_id) == 13
    assert (records.requests, records.accepted, records.repeated_keys) == (65, 5, 60)
    assert (records.ended, records.overlapping) == (5, 0)
    first = [e for e in log.events if e.call_id == calls[0].call_id and e.kind == "status"]
    assert len(first) == 4


async def test_overlapping_calls_are_counted(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log) as simulator:
        await simulator.place(requests(1, TO))
        await simulator.place(requests(1, TO))
        clock.advance(HOUR)
        await simulator.place(requests(1, TO))

        assert (await simulator.records()).overlapping == 1


async def test_nth_call_follows_the_nth_script(clock: FrozenClock, log: EventLog) -> None:
    plan = FixedPlan({TO: [failed(503), answered(5, "interested")]})
    async with simulating(clock, log, plan) as simulator:
        for request in requests(2, TO):
            await simulator.place([request, request])
            clock.advance(HOUR)
            await simulator.settle()

    ends = [e.payload["status"] for e in log.events if "sip_code" in e.payload]
    assert ends == ["failed", "completed"]


async def test_lookup_returns_the_state_before_during_and_after_the_call(
    clock: FrozenClock, log: EventLog
) -> None:
    async with simulating(clock, log) as simulator:
        (request,) = requests(1, TO)
        unknown = uuid4()
        await simulator.place([request])
        states_seen = []
        for step in (0, 3, 10, 3600, 7 * 86400):
            clock.advance(timedelta(seconds=step))
            states = await simulator.lookup([request.call_id, unknown])
            assert states.keys() == {request.call_id}
            state = states[request.call_id]
            states_seen.append((state.payload["status"], state.last_sequence))
        await simulator.settle()

    assert states_seen == [
        ("queued", -1),
        ("ringing", 1),
        ("in-progress", 2),
        ("completed", 3),
        ("completed", 3),
    ]
    last = next(e for e in log.events if e.sequence == 3)
    assert (state.payload, state.provider_id) == (last.payload, last.provider_id)


async def test_lookup_returns_the_outcome_of_a_call_without_callbacks(
    clock: FrozenClock, log: EventLog
) -> None:
    async with simulating(clock, log, disorder=Disorder(lost=1)) as simulator:
        (request,) = requests(1, TO)
        await simulator.place([request])
        clock.advance(HOUR)
        await simulator.settle()

        states = await simulator.lookup([request.call_id])

        assert states[request.call_id].payload["outcome"] == "converted"
        assert simulator.idle.is_set()
        assert (await simulator.records()).ended == 1
    assert log.events == []


async def test_callbacks_are_repeated_until_stored(clock: FrozenClock) -> None:
    log = EventLog()
    failures = iter([RuntimeError("no database"), TimeoutError()])

    async def sink(events: Sequence[ProviderEvent]) -> None:
        for failure in failures:
            raise failure
        await log(events)

    simulator = Simulator(FixedPlan(), clock, sink, spacing=0)
    await simulator.place(requests(10))
    clock.advance(HOUR)
    await simulator.settle()
    records = await simulator.records()
    await simulator.close()

    assert len({(e.call_id, e.sequence) for e in log.events}) == 30
    assert (records.delivered, records.failed_deliveries) == (30, 2)


async def test_stuck_sink_does_not_delay_other_sinks(clock: FrozenClock) -> None:
    log = EventLog()
    stuck = asyncio.Event()

    async def sink(events: Sequence[ProviderEvent]) -> None:
        stuck.set()
        await asyncio.Event().wait()

    simulator = Simulator(FixedPlan(), clock, sink, spacing=0)
    await simulator.place(requests(1))
    clock.advance(HOUR)
    simulator.callbacks.attach(log)
    await stuck.wait()
    await simulator.place(requests(2))
    clock.advance(HOUR)
    await log.wait_for(6)
    await simulator.callbacks.detach(sink)
    await log.wait_for(9)
    await simulator.close()

    assert len({(e.call_id, e.sequence) for e in log.events}) == 9


async def test_callbacks_wait_for_the_first_sink(clock: FrozenClock, log: EventLog) -> None:
    simulator = Simulator(FixedPlan(), clock, spacing=0)
    await simulator.place(requests(1))
    clock.advance(HOUR)
    await simulator.settle()
    assert not simulator.idle.is_set()

    simulator.callbacks.attach(log)
    await simulator.settle()
    await simulator.close()

    assert len(log.events) == 3


@pytest.mark.parametrize("seed", range(5))
async def test_every_event_arrives_under_disorder_and_the_run_is_repeatable(seed: int) -> None:
    disorder = Disorder(late=0.3, repeated=0.3, shuffled=0.3, unnamed=0.2, contradicted=0.2)

    async def run(order: Callable[[list[CallRequest]], Iterator[CallRequest]]) -> set[object]:
        clock, log = FrozenClock(START), EventLog()
        simulator = Simulator(
            SeededPlan(seed, recorded=0.5), clock, log, seed=seed, disorder=disorder, spacing=0
        )
        calls = [CallRequest(UUID(int=n), f"+1212555{n:04d}") for n in range(100, 150)]
        for request in order(calls):
            await simulator.place([request])
        clock.advance(WEEK)
        await simulator.settle()
        states = await simulator.lookup([request.call_id for request in calls])
        arrived = {(e.provider_id, e.kind, e.sequence) for e in log.events}
        for state in states.values():
            for sequence in range(state.last_sequence + 1):
                assert (state.provider_id, "status", sequence) in arrived
        assert len(log.events) == (await simulator.records()).events
        await simulator.close()
        return {
            (e.provider_id, e.call_id, e.kind, e.sequence, tuple(sorted(e.payload.items())))
            for e in log.events
        }

    assert await run(iter) == await run(lambda calls: iter(calls[::-1]))


async def test_dropped_request_dials_nobody(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log, trouble=Trouble(dropped=1)) as simulator:
        (request,) = requests(1, TO)

        assert await simulator.place([request]) == {}
        assert await simulator.lookup([request.call_id]) == {}
        records = await simulator.records()
    assert (records.requests, records.dropped, records.accepted) == (1, 1, 0)


async def test_unanswered_request_is_dialed(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log, trouble=Trouble(unanswered=1)) as simulator:
        (request,) = requests(1, TO)

        assert await simulator.place([request]) == {}
        assert await simulator.place([request]) == {}
        assert (await simulator.lookup([request.call_id])).keys() == {request.call_id}
        records = await simulator.records()
    assert (records.requests, records.unanswered, records.accepted) == (2, 2, 1)


async def test_rate_limited_request_is_not_dialed(clock: FrozenClock, log: EventLog) -> None:
    trouble = Trouble(wait=1, wait_seconds=7)
    async with simulating(clock, log, trouble=trouble) as simulator:
        (request,) = requests(1, TO)

        answers = await simulator.place([request])

        assert answers == {request.call_id: Refused("too many requests", retry_after=7)}
        assert await simulator.lookup([request.call_id]) == {}


async def test_refused_request_succeeds_when_repeated(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log, trouble=Trouble(refuse=0.3, wait=0.3)) as simulator:
        waiting = requests(100)
        rounds = 0
        while waiting:
            answers = await simulator.place(waiting)
            waiting = [r for r in waiting if isinstance(answers[r.call_id], Refused)]
            rounds += 1
        records = await simulator.records()
    assert 1 < rounds < 30
    assert (records.accepted, records.repeated_keys) == (100, 0)
    assert records.requests == records.accepted + records.refused


async def test_invalid_number_is_always_refused(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log, trouble=Trouble(invalid=0.5)) as simulator:
        calls = requests(40)
        first, again = await simulator.place(calls), await simulator.place(calls)

    assert first == again
    refused = [answer for answer in first.values() if isinstance(answer, Refused)]
    assert 5 < len(refused) < 35
    assert all(answer.permanent for answer in refused)


async def test_call_with_a_slow_answer_is_accepted_at_once(
    clock: FrozenClock, log: EventLog
) -> None:
    async with simulating(clock, log, trouble=Trouble(slow=1, slow_seconds=60)) as simulator:
        (request,) = requests(1, TO)
        answer = asyncio.ensure_future(simulator.place([request]))
        await asyncio.sleep(0)

        assert (await simulator.lookup([request.call_id])).keys() == {request.call_id}
        assert not answer.done()
        answer.cancel()


async def test_deaf_provider_fails_lookups(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log, trouble=Trouble(deaf=1)) as simulator:
        with pytest.raises(ExternalServiceError):
            await simulator.lookup([uuid4()])


async def test_recording_has_the_length_of_the_call(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log) as simulator:
        await simulator.place(requests(1, TO))
        clock.advance(HOUR)
        await simulator.settle()
        payload = log.events[-1].payload
        url = str(payload["url"])
        chunks = [chunk async for chunk in simulator.recording(url)]
        again = [chunk async for chunk in simulator.recording(url)]

    assert (payload["status"], str(payload["recording_id"])[:2]) == ("completed", "RE")
    assert str(payload["recording_id"]).isalnum()
    assert len(chunks) > 1
    assert chunks == again
    with wave.open(io.BytesIO(b"".join(chunks))) as sound:
        assert sound.getnframes() / sound.getframerate() == 60


async def test_only_own_recordings_are_returned(clock: FrozenClock, log: EventLog) -> None:
    async with simulating(clock, log) as simulator:
        (unrecorded,) = requests(1, "+12125550199")
        await simulator.place([unrecorded])
        for foreign in (
            "https://example.com/x",
            "simulator://elsewhere/x",
            "",
            "file:///etc/hosts",
        ):
            with pytest.raises(ValidationError):
                await anext(simulator.recording(foreign))
        for call_id in (unrecorded.call_id, uuid4()):
            with pytest.raises(NotFoundError):
                await anext(simulator.recording(f"simulator://recordings/{call_id}"))
