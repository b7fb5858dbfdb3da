"""Lua scripts, and the packing of their arguments."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgpack


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script.

    Attributes:
        text: Source of the script.
        sha: SHA-1 of the source, as EVALSHA expects it.
    """

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


_BUFFER_BYTES: Final = 4096
"""Initial buffer. Allocating msgpack's default of 256 KB costs more than packing one job."""


def pack(arguments: Sequence[Any]) -> bytes:
    """Pack many arguments into one, because redis-py packs each argument in pure Python.

    Args:
        arguments: Values that msgpack can encode. Bytes become raw strings, because Redis's
            decoder knows no binary type.

    Returns:
        One argument, which the script decodes with `cmsgpack.unpack`.
    """
    return cast("bytes", msgpack.packb(arguments, use_bin_type=False, buf_size=_BUFFER_BYTES))
