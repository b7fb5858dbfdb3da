"""Payloads and results as JSON; what JSON has no form for is carried by a tag or by annotation.

UUID, date, time, Decimal, Enum, dataclasses, pydantic models, sets and tuples become plain JSON,
which a job's annotations turn back. Bytes and exceptions keep their type: they are written as
`{"$bytes": …}` and `{"$error": …}`, and a dict with such a key of its own is escaped. An exception
is rebuilt from its name only when it is registered; nothing else in Redis can name code to run.
NaN and the infinities become null, as JSON has none; integers have 64 bits.
"""

import asyncio
import base64
import pickle
from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

import orjson
from arq.jobs import DeserializationError, ResultNotFound, SerializationError
from arq.worker import JobExecutionFailed, RetryJob
from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from jobs import errors
from jobs.privacy.error_text import error_message, escape_surrogates

E = TypeVar("E", bound=type[BaseException])

_BYTES: Final = "$bytes"
_ERROR: Final = "$error"
_DICT: Final = "$dict"
_TAGGED: Final = b'"$'
_TAG_BYTE: Final = ord("$")
"""Looked for first: a single byte is found, or not, in a tenth of the time of two."""
_PICKLE: Final = b"\x80"
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_SECRETS: Final = (Secret, SecretStr, SecretBytes)
"""pydantic writes them as stars, and that is what the job would get."""


class RemoteError(errors.RinglineError):
    """A job ended with an error whose class is not registered here."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name, self.message = type_name, message


_REGISTERED: Final[dict[str, type[BaseException]]] = {}


def register_error(kind: E) -> E:
    """Lets `Job.result()` raise this class again, made from its message; usable as a decorator."""
    _REGISTERED[kind.__name__] = kind
    return kind


for _kind in (
    asyncio.CancelledError,
    DeserializationError,
    SerializationError,
    ResultNotFound,
    JobExecutionFailed,
    RetryJob,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ConnectionError,
    Exception,
    IndexError,
    KeyError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    PermissionError,
    RuntimeError,
    TimeoutError,
    TypeError,
    ValueError,
    ZeroDivisionError,
):
    register_error(_kind)
for _kind in vars(errors).values():
    if isinstance(_kind, type) and issubclass(_kind, BaseException):
        register_error(_kind)


def serialize(value: Any) -> bytes:
    """`value` as JSON; usable as arq's job_serializer.

    Raises TypeError for what has no form, and for a secret: whoever reads Redis would read it.
    """
    try:
        data = orjson.dumps(value, _plain, _OPTIONS)
        if _TAG_BYTE in data and _TAGGED in data:
            return orjson.dumps(_escaped(value), _plain, _OPTIONS)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, TypeError):  # what `_plain` said, of which orjson is silent
            raise error.__cause__ from None
        raise
    return data


def deserialize(data: bytes) -> Any:
    """What `serialize` wrote; usable as arq's job_deserializer.

    Raises DeserializationError for a pickle and for anything else that is not JSON.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if data.startswith(_PICKLE):
            raise DeserializationError(
                "refused: a pickle can run code of whoever wrote it; to take in the jobs of a "
                "queue that used arq's default serializer, switch on deserialize_or_unpickle"
            ) from None
        raise DeserializationError(f"not JSON: {error}") from None
    if _TAG_BYTE not in data or _TAGGED not in data:
        return value
    try:
        return _untagged(value)
    except Exception as error:  # noqa: BLE001 - the class of an error may refuse to be made anew
        raise DeserializationError(
            f"a broken tag: {type(error).__name__}: {error_message(error)}"
        ) from None


def deserialization_error_in(error: BaseException) -> DeserializationError | None:
    """What `deserialize` said, where arq put an error of its own around it."""
    cause = error.__cause__
    return cause if isinstance(cause, DeserializationError) else None


def deserialize_or_unpickle(data: bytes) -> Any:
    """For the time of a migration only: also takes the pickles that arq writes by default.

    Whoever can write to Redis can run code in a worker that uses this.
    """
    if data.startswith(_PICKLE):
        return pickle.loads(data)  # noqa: S301  # what this function is for
    return deserialize(data)


def _plain(value: Any) -> Any:
    """What orjson has no form for. Tags made here are not escaped."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, _SECRETS):
        raise TypeError(
            f"a {type(value).__name__} is not written to Redis: let the job look it up, or pass "
            "what get_secret_value() answers"
        )
    if isinstance(value, BaseException):
        return {_ERROR: {"type": _name_of(type(value)), "message": _message(value)}}
    if isinstance(value, BaseModel):
        return _escaped(value.model_dump(round_trip=True, by_alias=True))
    if is_dataclass(value) and not isinstance(value, type):
        return _escaped({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, tuple | set | frozenset | deque):
        return _escaped(list(value))
    return to_jsonable_python(value)


def _name_of(kind: type[BaseException]) -> str:
    """Its whole name where another class of the same one is registered, and would be raised."""
    if _REGISTERED.get(kind.__name__, kind) is kind:
        return kind.__name__
    return f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    # str(KeyError("x")) is its repr; the argument survives the way there and back.
    if len(error.args) == 1 and isinstance(error.args[0], str):
        return escape_surrogates(error.args[0])
    return error_message(error)


def _escaped(value: Any) -> Any:
    """`value` with every dict that could be mistaken for a tag written as a list of pairs."""
    if isinstance(value, dict):
        items = [(key, _escaped(item)) for key, item in value.items()]
        if any(_looks_tagged(key) for key in value):
            return {_DICT: items}
        return dict(items)
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _looks_tagged(key: Any) -> bool:
    name = key.value if isinstance(key, Enum) else key
    return isinstance(name, str) and name.startswith("$")


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, content), *_ = value.items()
        untag = _UNTAG.get(tag)
        if untag is not None:
            return untag(content)
    return {key: _untagged(item) for key, item in value.items()}


def _error(content: Any) -> BaseException:
    name, message = content["type"], content["message"]
    kind = _REGISTERED.get(name)
    if kind is None:
        return RemoteError(name, message)
    error = kind.__new__(kind, message)
    error.args = (message,)
    return error


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    _BYTES: partial(base64.b64decode, validate=True),
    _ERROR: _error,
    _DICT: lambda pairs: {key: _untagged(item) for key, item in pairs},
}
