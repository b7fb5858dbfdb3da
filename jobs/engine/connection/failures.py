"""Classifies Redis errors as transient or permanent, with an actionable one-line message each."""

import re
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

# redis-py strips the error code from the text if it has a class for the code. Otherwise the text
# starts with the code, or with other words if a script (up to Redis 6.2) or a pipeline raised it.
_CODES_BY_CLASS: Final = {
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    MasterDownError: "MASTERDOWN",
    BusyLoadingError: "LOADING",
    AuthenticationError: "NOAUTH",
    AuthorizationError: "NOAUTH",
}
_TRANSIENT: Final = {
    "OOM": "Redis is out of memory (maxmemory): raise the limit or free memory",
    "READONLY": "Redis is a read-only replica: set the URL to the master or to the Sentinels",
    "MASTERDOWN": "Redis is a replica that lost its master",
    "NOREPLICAS": "Redis has too few replicas in sync (min-replicas-to-write)",
    "MISCONF": "Redis cannot save to disk: see the Redis log",
    "LOADING": "Redis is loading its data",
    "BUSY": "Redis is busy running a script",
    "UNKILLABLE": "Redis is busy running a script",
}
_CODE: Final = re.compile(rf"(?:^|: -|caused error: \(\W)({'|'.join(_TRANSIENT)})\b")
_WRONG_PASSWORD: Final = "wrong user or password in the Redis URL"  # noqa: S105 - not a password


def is_transient(error: BaseException) -> bool:
    """Return whether Redis may accept the same call later.

    Args:
        error: Error raised by the call.

    Returns:
        True if Redis responded with a code of a temporary state.
    """
    return _code(error) in _TRANSIENT


def is_read_only(error: BaseException) -> bool:
    """Return whether this Redis is a replica: after a failover, another server is the master.

    Args:
        error: Error raised by the call.

    Returns:
        True if Redis responded with READONLY.
    """
    return _code(error) == "READONLY"


def is_wrong_password(error: BaseException) -> bool:
    """Return whether Redis rejected the user or the password.

    Args:
        error: Error raised by the call.

    Returns:
        True if Redis refused the authentication.
    """
    return _code(error) == "NOAUTH"


def explain(error: BaseException) -> str:
    """Describe an error of a Redis call.

    Args:
        error: Error raised by the call.

    Returns:
        The reason in one line, with a remedy if there is one.
    """
    code = _code(error)
    if code == "NOAUTH":
        return _WRONG_PASSWORD
    if code is not None:
        return _TRANSIENT[code]
    default = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    return " ".join(str(error).split()) or default


def _code(error: BaseException) -> str | None:
    # redis-py wraps some error replies into the error that it raises for a lost connection.
    for candidate in (error, error.__cause__):
        for error_class, code in _CODES_BY_CLASS.items():
            if isinstance(candidate, error_class):
                return code
    match = _CODE.search(str(error))
    return match and match[1]


TRANSIENT_ERRORS: Final = (RedisError, OSError, TimeoutError)
"""Errors that a call raises while Redis is unavailable or refuses to write."""
