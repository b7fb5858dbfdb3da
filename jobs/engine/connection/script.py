"""TODO."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgpack


@dataclass(frozen=True, slots=True)
class Script:
    """A script by its text, and by the hash under which Redis knows it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


_BUFFER: Final = 4096
"""Bytes to begin with; the 256 KB that msgpack takes cost more than to pack one job."""


def pack(arguments: Sequence[Any]) -> bytes:
    """Many arguments as one, for `cmsgpack.unpack`: redis-py packs each of them in pure Python.

    Redis's own decoder knows no binary type, so bytes go as the older raw one.
    """
    return cast("bytes", msgpack.packb(arguments, use_bin_type=False, buf_size=_BUFFER))
