"""The JSON serializer: round trips, refused values, and hostile data."""

import asyncio
import pickle
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from arq.jobs import DeserializationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs import errors
from jobs.engine.queue.serializer import (
    RemoteError,
    deserialize,
    deserialize_or_unpickle,
    register_error,
    serialize,
)

names = st.text() | st.sampled_from(["$bytes", "$error", "$dict", "$"])
plain = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names
    | st.binary()
)
values = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=20
)


class Color(Enum):
    RED = "red"


class Tag(Enum):
    BYTES = "$bytes"


class Sign(StrEnum):
    DOLLAR = "$"


class Login(BaseModel):
    password: SecretStr


class Model(BaseModel):
    data: bytes
    tags: set[str]
    extra: dict[str, Any]


@dataclass
class Point:
    x: int
    label: bytes


@given(values)
def test_json_values_and_bytes_survive_a_round_trip(value: Any) -> None:
    assert deserialize(serialize(value)) == value


@given(st.binary())
def test_any_data_are_deserialized_or_refused(data: bytes) -> None:
    with suppress(DeserializationError):
        deserialize(data)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (uuid4(), UUID),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime),
        (date(2026, 3, 29), date),
        (timedelta(minutes=90), timedelta),
        (Decimal("19.99"), Decimal),
        (Color.RED, Color),
        ({"a", "b"}, set[str]),
        ((1, "x"), tuple[int, str]),
        ({1: b"\xff"}, dict[int, bytes]),
        ({Tag.BYTES: "x"}, dict[Tag, str]),
        ({Sign.DOLLAR: {Tag.BYTES: b"x"}}, dict[Sign, dict[Tag, bytes]]),
        (Model(data=b"\x00\xff", tags={"a"}, extra={"$bytes": 1}), Model),
        (Point(1, b"\xfe"), Point),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_restored_by_annotations(value: object, annotation: Any) -> None:
    read = deserialize(serialize({"a": (value,)}))["a"][0]
    assert TypeAdapter(annotation).validate_python(read) == value


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        ValueError("bad"),
        KeyError("missing"),
        errors.DatabaseError("gone away"),
        errors.StaleVersionError("lead 7"),
    ],
    ids=repr,
)
def test_registered_errors_are_rebuilt(error: BaseException) -> None:
    read = deserialize(serialize({"r": error}))["r"]
    assert type(read) is type(error)
    assert str(read) == str(error)


def test_unregistered_error_becomes_a_remote_error() -> None:
    class OwnError(Exception):
        pass

    read = deserialize(serialize(OwnError("no luck")))
    assert isinstance(read, RemoteError)
    assert (read.type_name, str(read)) == ("OwnError", "OwnError: no luck")


def test_register_error_makes_a_class_rebuildable() -> None:
    @register_error
    class RegisteredError(Exception):
        pass

    assert isinstance(deserialize(serialize(RegisteredError("x"))), RegisteredError)


def test_only_error_classes_are_rebuilt() -> None:
    read = deserialize(b'{"$error": {"type": "timedelta", "message": 5}}')
    assert isinstance(read, RemoteError)


def test_error_whose_constructor_fails_is_a_broken_tag() -> None:
    @register_error
    class StubbornError(Exception):
        def __new__(cls, *args: object) -> Self:
            raise AttributeError("two arguments, please")

    with pytest.raises(DeserializationError, match="two arguments, please"):
        deserialize(b'{"$error": {"type": "StubbornError", "message": ""}}')


def test_error_with_unencodable_text_is_serialized() -> None:
    assert str(deserialize(serialize(ValueError("no file \udcff")))) == r"no file \udcff"
    assert deserialize(serialize(KeyError("\udcff"))).args == (r"\udcff",)


def test_error_whose_str_fails_is_serialized() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise AttributeError("message")

    read = deserialize(serialize(MuteError()))
    assert isinstance(read, RemoteError)
    assert read.type_name == "MuteError"


@pytest.mark.parametrize(
    "value",
    [
        SecretStr("hunter2"),
        SecretBytes(b"hunter2"),
        Secret[int](2),
        Login(password=SecretStr("hunter2")),
        {"to": [Login(password=SecretStr("hunter2"))]},
    ],
    ids=repr,
)
def test_secret_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"refused to write a Secret.*") as raised:
        serialize(value)
    assert "hunter2" not in str(raised.value)


def test_not_found_error_is_rebuilt_from_its_message() -> None:
    read = deserialize(serialize(errors.NotFoundError("lead", 7)))
    assert isinstance(read, errors.NotFoundError)
    assert str(read) == "lead 7 does not exist"


def test_pickle_is_refused_with_a_remedy() -> None:
    with pytest.raises(DeserializationError, match=r"refused a pickle.*deserialize_or_unpickle"):
        deserialize(pickle.dumps({"f": "x"}))


def test_deserialize_or_unpickle_reads_pickles() -> None:
    payload = {"f": "x", "a": (1,)}
    assert deserialize_or_unpickle(pickle.dumps(payload)) == payload
    assert deserialize_or_unpickle(serialize(payload)) == {"f": "x", "a": [1]}


@pytest.mark.parametrize("value", [object(), 2**64], ids=["object", "big int"])
def test_unserializable_value_raises(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        serialize(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"$error": 1}',
        b'{"$error": {"type": []}}',
        b'{"$bytes": "%"}',
        b'{"$bytes": 1}',
        b'{"$dict": 3}',
        b'{"$dict": [[[], 1]]}',
        b"[" * 1000 + b'"$"' + b"]" * 1000,
    ],
    ids=range(7),
)
def test_broken_tag_is_refused(data: bytes) -> None:
    with pytest.raises(DeserializationError):
        deserialize(data)


def test_error_is_not_rebuilt_as_another_class_of_the_same_name() -> None:
    """Otherwise, a timeout of Redis would look like a timeout of waiting for the result."""
    error = deserialize(serialize(RedisTimeoutError("slow")))
    assert isinstance(error, RemoteError)
    assert str(error) == "redis.exceptions.TimeoutError: slow"
    assert type(deserialize(serialize(TimeoutError("slow")))) is TimeoutError
