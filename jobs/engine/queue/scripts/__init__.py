"""The Lua scripts by which jobs are enqueued, claimed, renewed, finished and put back.

The key names are put in front of each script: only `jobs.engine.queue.keys` spells them.
"""

from importlib.resources import files
from typing import Final

from jobs.engine.connection.script import Script
from jobs.engine.queue import keys

_NAMES: Final = ("JOB", "IN_PROGRESS", "RESULT", "RETRY", "ABORT", "FIRED", "LOST", "UNKNOWN",
                 "DEAD_INDEX", "DEAD_LETTERS", "WAITING", "HANDED")  # fmt: skip


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
