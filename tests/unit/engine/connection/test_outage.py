"""What is logged of an outage."""

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.engine.connection.outage import Outage

LOST = RedisConnectionError("the connection was lost")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records]


def test_a_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    for _ in range(3):
        outage.report(LOST)
    assert lines(caplog) == ["claiming waits for Redis: the connection was lost"]


def test_a_reason_that_comes_later_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    for error in (LOST, AuthenticationError("no"), LOST, AuthenticationError("no")):
        outage.report(error)
    assert lines(caplog) == [
        "claiming waits for Redis: the connection was lost",
        "claiming waits for Redis: it wants another user or password than its URL has",
    ]


def test_the_next_outage_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    assert not outage.end()
    outage.report(LOST)
    assert outage.end()
    assert not outage.end()
    outage.report(LOST)
    assert len(lines(caplog)) == 2
