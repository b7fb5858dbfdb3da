"""The Lua scripts by which jobs are enqueued, claimed, renewed, finished and put back.

The key names are put in front of each script: only `jobs.engine.queue.keys` spells them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

import msgpack

from jobs.engine.queue import keys

_NAMES: Final = ("JOB", "IN_PROGRESS", "RESULT", "RETRY", "ABORT", "FIRED", "LOST", "UNKNOWN",
                 "DEAD_INDEX", "DEAD_LETTERS", "WAITING", "HANDED")  # fmt: skip


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
    packed: bytes = msgpack.packb(arguments, use_bin_type=False, buf_size=_BUFFER)
    return packed


def _load(*names: str) -> Script:
    prelude = "".join(f"local {key} = '{getattr(keys, key)}'\n" for key in _NAMES)
    folder = files(__package__)
    return Script(
        prelude + "".join(folder.joinpath(f"{one}.lua").read_text("utf-8") for one in names)
    )


CLAIM: Final = _load("set_all", "claim")
RENEW: Final = _load("renew")
FINISH: Final = _load("set_all", "finish")
REAP: Final = _load("reap")
FIRE: Final = _load("fire")
NOTE_SLOT: Final = _load("note_slot")
ENQUEUE: Final = _load("is_running", "enqueue")
ENQUEUE_MANY: Final = _load("set_all", "is_running", "enqueue_many")
REVIVE: Final = _load("revive")
BURY: Final = _load("bury")
QUEUE_STATE: Final = _load("queue_state")
