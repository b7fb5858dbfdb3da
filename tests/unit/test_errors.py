"""Errors of libraries are mapped to job errors."""

import asyncio

import asyncpg
import pytest
import sqlalchemy.exc
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs import errors


class Person(BaseModel):
    age: int


def pydantic_error() -> Exception:
    try:
        Person.model_validate({"age": "+1 212 555 0101"})
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (sqlalchemy.exc.OperationalError("", {}, Exception()), errors.DatabaseError, True),
        (sqlalchemy.exc.IntegrityError("", {}, Exception()), errors.ConflictError, False),
        (asyncpg.exceptions.DeadlockDetectedError("deadlock"), errors.DatabaseError, True),
        (RedisConnectionError("gone"), errors.ExternalServiceError, True),
        (ConnectionResetError("gone"), errors.ExternalServiceError, True),
        (TimeoutError(), errors.ProcessTimeoutError, True),
        (pydantic_error(), errors.ValidationError, False),
    ],
)
def test_library_errors_are_mapped(
    error: Exception, kind: type[errors.JobError], retryable: bool
) -> None:
    mapped = errors.as_job_error(error)

    assert type(mapped) is kind
    assert mapped.retryable is retryable
    assert mapped.__cause__ is error
    assert str(mapped)
    assert "\n" not in str(mapped)


@pytest.mark.parametrize(
    "error", [errors.ConflictError("no"), asyncio.CancelledError(), KeyError("a bug")]
)
def test_other_errors_are_not_mapped(error: BaseException) -> None:
    assert errors.as_job_error(error) is error


def test_mapped_error_does_not_quote_the_input() -> None:
    text = str(errors.as_job_error(pydantic_error()))

    assert text.startswith("age: ")
    assert "555" not in text
