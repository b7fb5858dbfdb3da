"""What Redis refuses: whether that passes by itself, and how it is said so that it helps."""

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

# redis-py takes the code off the text where it has a class for it. Else the code begins it, but
# after other words in what a script (up to Redis 6.2) or a pipeline raises.
_CLASSES: Final = {
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    MasterDownError: "MASTERDOWN",
    BusyLoadingError: "LOADING",
    AuthenticationError: "NOAUTH",
    AuthorizationError: "NOAUTH",
}
_PASSING: Final = {
    "OOM": "it is full (maxmemory): give it more memory, or make room",
    "READONLY": "it is a read-only replica: its URL has to name the master, or Sentinels",
    "MASTERDOWN": "it is a replica that has lost its master",
    "NOREPLICAS": "too few replicas keep up with it (min-replicas-to-write)",
    "MISCONF": "it cannot save to its disk; its own log says why",
    "LOADING": "it is loading its data",
    "BUSY": "it is busy with a script",
    "UNKILLABLE": "it is busy with a script",
}
_CODE: Final = re.compile(rf"(?:^|: -|caused error: \(\W)({'|'.join(_PASSING)})\b")
_WRONG_PASSWORD: Final = "it wants another user or password than its URL has"  # noqa: S105 - none


def is_transient(error: BaseException) -> bool:
    """Whether Redis may take the very same call later."""
    return _code(error) in _PASSING


def is_read_only(error: BaseException) -> bool:
    """Whether this Redis is a replica: after a failover, the master is elsewhere."""
    return _code(error) == "READONLY"


def is_wrong_password(error: BaseException) -> bool:
    return _code(error) == "NOAUTH"


def explain(error: BaseException) -> str:
    """One line on what Redis does not do."""
    code = _code(error)
    if code == "NOAUTH":
        return _WRONG_PASSWORD
    if code is not None:
        return _PASSING[code]
    silent = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return " ".join(str(error).split()) or silent


def _code(error: BaseException) -> str | None:
    # redis-py wraps some refusals into what it raises for a lost connection.
    for one in (error, error.__cause__):
        for kind, code in _CLASSES.items():
            if isinstance(one, kind):
                return code
    found = _CODE.search(str(error))
    return found and found[1]


TRANSIENT_ERRORS: Final = (RedisError, OSError, TimeoutError)
"""What a call raises while Redis is away, or refuses to write."""
