"""Classification of Redis errors, in the wording of each version and client."""

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)

from jobs.engine.connection.connect import is_unsupported
from jobs.engine.connection.failures import explain, is_read_only, is_transient, is_wrong_password

SCRIPT = "Error running script (call to f_9a8d): @user_script:1: @user_script: 1: "
"""Prefix of a script error in Redis 6.2."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "out of memory"),
        (ResponseError(f"{SCRIPT}-OOM command not allowed when used …"), "out of memory"),
        (ReadOnlyError("You can't write against a read only replica."), "read-only replica"),
        (ResponseError(f"{SCRIPT}-READONLY You can't write against …"), "read-only replica"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "too few replicas"),
        (ResponseError(f"{SCRIPT}-NOREPLICAS Not enough good replicas …"), "too few replicas"),
        (
            ResponseError("Command # 1 (SET a 1) of pipeline caused error: ('NOREPLICAS Not …',)"),
            "too few replicas",
        ),
        (ResponseError("MISCONF Redis is configured to save RDB …"), "cannot save"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
    ],
)
def test_transient_error_is_recognized_and_explained(error: Exception, reason: str) -> None:
    assert is_transient(error)
    assert reason in explain(error)
    assert is_read_only(error) == (reason == "read-only replica")
    assert not is_wrong_password(error)


@pytest.mark.parametrize(
    "error",
    [
        ResponseError(f"{SCRIPT}Wrong number of args calling Redis command From Lua script"),
        ResponseError("a job called -OOM has failed"),
        RedisConnectionError("Error 111 connecting to host:6379."),
    ],
)
def test_permanent_error_keeps_its_message(error: Exception) -> None:
    assert not is_transient(error)
    assert explain(error) == str(error)


def test_wrong_password_is_recognized_in_a_wrapped_error() -> None:
    wrapped = RedisConnectionError("invalid username-password pair")
    wrapped.__cause__ = AuthenticationError("invalid username-password pair")
    assert is_wrong_password(wrapped)
    assert not is_transient(wrapped)
    assert "password" in explain(wrapped)


def test_error_without_a_message_is_explained_by_its_class() -> None:
    assert explain(TimeoutError()) == "timed out"
    assert explain(ConnectionResetError()) == "ConnectionResetError"


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("6.2.0", False),
        ("7.2.4", False),
        ("10.0", False),
        ("6.0.16", True),
        ("5.0.14", True),
        ("unstable", False),
        ("", False),
    ],
)
def test_versions_before_6_2_are_unsupported(version: str, too_old: bool) -> None:
    assert is_unsupported(version) == too_old
