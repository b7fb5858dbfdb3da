"""Voice provider URLs, as in the setting VOICE_URL."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from jobs.errors import UsageError
from jobs.testing.clock import FrozenClock
from jobs.testing.voice import EventLog
from jobs.voice import Recorded, ReplayPlan, Simulator, SimulatorClient, open_voice
from jobs.voice.protocol import CallRequest, Refused

CLOCK = FrozenClock(datetime(2026, 3, 2, 15, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "url",
    [
        "simulator:",
        "simulator:?seed=7&no_answer=0.4&late=0.1&repeated=0.2&unanswered=0.1&recorded=0.5",
    ],
)
async def test_simulator_url_opens_a_simulator_in_this_process(url: str) -> None:
    voice = await open_voice(url, clock=CLOCK, sink=EventLog())

    await voice.close()

    assert isinstance(voice, Simulator)


async def test_options_of_the_url_reach_the_simulator() -> None:
    voice = await open_voice("simulator:?wait=1&wait_seconds=9", clock=CLOCK, sink=EventLog())
    request = CallRequest(uuid4(), "+12125550100")

    answers = await voice.place([request])
    await voice.close()

    assert answers == {request.call_id: Refused("too many requests", retry_after=9)}


async def test_replay_option_reads_the_file(tmp_path: Path) -> None:
    ReplayPlan({"+12125550100": Recorded(1, 10, "converted")}).save(tmp_path / "r.csv")

    voice = await open_voice(
        f"simulator:?replay={tmp_path / 'r.csv'}", clock=CLOCK, sink=EventLog()
    )
    await voice.close()

    assert isinstance(voice, Simulator)


async def test_socket_url_opens_before_the_simulator_serves(tmp_path: Path) -> None:
    voice = await open_voice(f"simulator+unix:{tmp_path}/s", clock=CLOCK, sink=EventLog())
    request = CallRequest(uuid4(), "+12125550100")

    answers = await voice.place([request])
    await voice.close()

    assert isinstance(voice, SimulatorClient)
    assert isinstance(answers[request.call_id], Refused)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "simulator\\+unix:/path"),
        ("twilio://secret@host/", "'twilio'"),
        ("simulator:/somewhere", "'simulator'"),
        ("simulator+unix:", "simulator\\+unix:/path"),
        ("simulator+unix:relative", "simulator\\+unix:/path"),
        ("simulator://[bad", "VOICE_URL"),
        ("simulator:?noanswer=1", "'noanswer'.*no_answer"),
        ("simulator:?late=often", "late .*'often'"),
        ("simulator:?late=2", "late is a share"),
        ("simulator:?seed=x", "seed"),
        ("simulator:?spacing=nan", "spacing"),
        ("simulator:?replay=/nowhere/r.csv", "/nowhere/r.csv"),
        ("simulator:?replay=r.csv&busy=1", "replay"),
    ],
)
async def test_bad_url_is_rejected_in_one_line(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as failure:
        await open_voice(url, clock=CLOCK, sink=EventLog())

    text = str(failure.value)
    assert text.startswith("VOICE_URL")
    assert "\n" not in text
    assert "secret" not in text
