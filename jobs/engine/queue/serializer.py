"""JSON serializer for payloads and results.

UUID, date, time, Decimal, Enum, dataclasses, pydantic models, sets and tuples become plain JSON.
The job's annotations convert them back. Bytes and exceptions keep their type: they become
`{"$bytes": …}` and `{"$error": …}`, and a dict with such a key is escaped. An exception is rebuilt
from its name only if its class is registered, so data in Redis cannot name other code to run. NaN
and infinities become null, because JSON lacks them. Integers have 64 bits.
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
from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from jobs import errors
from jobs.privacy.error_text import error_message, escape_surrogates

E = TypeVar("E", bound=type[BaseException])

_BYTES: Final = "$bytes"
_ERROR: Final = "$error"
_DICT: Final = "$dict"
_TAGGED: Final = b'"$'
_TAG_BYTE: Final = ord("$")
"""Searched for first: searching for one byte takes a tenth of the time of searching for two."""
_PICKLE: Final = b"\x80"
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_SECRETS: Final = (Secret, SecretStr, SecretBytes)
"""Types that pydantic serializes as asterisks, so the job would receive asterisks."""


class RemoteError(errors.RinglineError):
    """Error of a job whose error class is not registered in this process.

    Args:
        type_name: Name of the original class.
        message: Message of the original error.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name, self.message = type_name, message


_REGISTERED: Final[dict[str, type[BaseException]]] = {}


def register_error(error_class: E) -> E:
    """Register an error class, so that `Job.result()` can raise it. Usable as a decorator.

    Args:
        error_class: Class to register under its name. Its instances are rebuilt from their message.

    Returns:
        The same class.
    """
    _REGISTERED[error_class.__name__] = error_class
    return error_class


for _error_class in (
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
    register_error(_error_class)
for _value in vars(errors).values():
    if isinstance(_value, type) and issubclass(_value, BaseException):
        register_error(_value)


def serialize(value: Any) -> bytes:
    """Serialize a value as JSON. Usable as arq's `job_serializer`.

    Args:
        value: Value to serialize.

    Returns:
        JSON, encoded as UTF-8.

    Raises:
        TypeError: The value has no JSON form, or it is a secret, which must not be stored in Redis.
    """
    try:
        data = orjson.dumps(value, _to_plain, _OPTIONS)
        if _TAG_BYTE in data and _TAGGED in data:
            return orjson.dumps(_escaped(value), _to_plain, _OPTIONS)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, TypeError):  # raised by `_to_plain`, hidden by orjson
            raise error.__cause__ from None
        raise
    return data


def deserialize(data: bytes) -> Any:
    """Deserialize JSON from `serialize`. Usable as arq's `job_deserializer`.

    Args:
        data: Serialized value.

    Returns:
        The value. Annotations of the job convert its parts further.

    Raises:
        DeserializationError: The data are a pickle, are not JSON, or contain a broken tag.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if is_pickle(data):
            raise DeserializationError(
                "refused a pickle, which can run any code: to migrate a queue that used arq's "
                "default serializer, set job_deserializer to deserialize_or_unpickle"
            ) from None
        raise DeserializationError(f"not JSON: {error}") from None
    if _TAG_BYTE not in data or _TAGGED not in data:
        return value
    try:
        return _untagged(value)
    except Exception as error:  # noqa: BLE001 - the constructor of an error class may fail
        raise DeserializationError(
            f"broken tag: {type(error).__name__}: {error_message(error)}"
        ) from None


def deserialization_error_in(error: BaseException) -> DeserializationError | None:
    """Return the error of `deserialize` that arq wrapped.

    Args:
        error: Error raised by arq.

    Returns:
        The cause, or None if the cause is no DeserializationError.
    """
    cause = error.__cause__
    return cause if isinstance(cause, DeserializationError) else None


def deserialize_or_unpickle(data: bytes) -> Any:
    """Deserialize JSON, or a pickle of arq's default serializer. Use only during a migration.

    Anyone who can write to Redis can run code in a worker that uses this function.

    Args:
        data: Serialized value.

    Returns:
        The value.

    Raises:
        DeserializationError: The data are neither a pickle nor JSON.
    """
    if is_pickle(data):
        return pickle.loads(data)  # noqa: S301  # the purpose of this function
    return deserialize(data)


def is_pickle(data: bytes) -> bool:
    """Return whether data are a pickle, as arq writes by default."""
    return data.startswith(_PICKLE)


def _to_plain(value: Any) -> Any:
    """Convert a value that orjson cannot serialize. Tags added here are not escaped."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, _SECRETS):
        raise TypeError(
            f"refused to write a {type(value).__name__} to Redis: let the job look the secret "
            "up, or pass the result of get_secret_value()"
        )
    if isinstance(value, BaseException):
        return {_ERROR: {"type": _name_of(type(value)), "message": _message(value)}}
    if isinstance(value, BaseModel):
        return _escaped(_fields_of(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _escaped({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, tuple | set | frozenset | deque):
        return _escaped(list(value))
    return to_jsonable_python(value)


def _fields_of(model: BaseModel) -> Any:
    """Return a model's fields by their names, the excluded ones included.

    The written form is the inverse of validation by name. Aliases for serialization, excluded
    fields and custom serializers are meant for other readers than the job.
    """
    if isinstance(model, RootModel):
        return model.root
    return {**model.__dict__, **(model.__pydantic_extra__ or {})}


def _name_of(error_class: type[BaseException]) -> str:
    """Return the class's name, qualified if another class is registered under the short name."""
    if _REGISTERED.get(error_class.__name__, error_class) is error_class:
        return error_class.__name__
    return f"{error_class.__module__}.{error_class.__qualname__}"


def _message(error: BaseException) -> str:
    # str(KeyError("x")) quotes the message, so use the argument, which survives a round trip.
    if len(error.args) == 1 and isinstance(error.args[0], str):
        return escape_surrogates(error.args[0])
    return error_message(error)


def _escaped(value: Any) -> Any:
    """Replace each dict that looks like a tag with a tagged list of pairs."""
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
    error_class = _REGISTERED.get(name)
    if error_class is None:
        return RemoteError(name, message)
    error = error_class.__new__(error_class, message)
    error.args = (message,)
    return error


_UNTAG: Final[dict[str, Callable[[Any], Any]]] = {
    _BYTES: partial(base64.b64decode, validate=True),
    _ERROR: _error,
    _DICT: lambda pairs: {key: _untagged(item) for key, item in pairs},
}
