"""Library errors become ours, in one place."""

import asyncio

import asyncpg
import pytest
import sqlalchemy.exc
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs import errors


class Person(BaseModel):
    age: int


def refused_by_pydantic() -> Exception:
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
        (refused_by_pydantic(), errors.ValidationError, False),
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
def test_what_has_no_other_name_stays_as_it_is(error: BaseException) -> None:
    assert errors.as_job_error(error) is error


def test_the_input_that_was_refused_is_not_quoted() -> None:
    text = str(errors.as_job_error(refused_by_pydantic()))

    assert text.startswith("age: ")
    assert "555" not in text
