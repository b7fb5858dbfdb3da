"""Log lines of an outage."""

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.engine.connection.outage import Outage

LOST = RedisConnectionError("the connection was lost")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_reason_is_logged_once_per_outage(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    for _ in range(3):
        outage.report(LOST)
    assert lines(caplog) == ["claiming waits for Redis: the connection was lost"]


def test_new_reason_during_an_outage_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    for error in (LOST, AuthenticationError("no"), LOST, AuthenticationError("no")):
        outage.report(error)
    assert lines(caplog) == [
        "claiming waits for Redis: the connection was lost",
        "claiming waits for Redis: wrong user or password in the Redis URL",
    ]


def test_reason_is_logged_again_in_the_next_outage(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("claiming")
    assert not outage.end()
    outage.report(LOST)
    assert outage.end()
    assert not outage.end()
    outage.report(LOST)
    assert len(lines(caplog)) == 2
