"""Lua scripts that enqueue, claim, renew, finish and reclaim jobs, and fire schedules.

Each script starts with the key names from `jobs.engine.queue.keys` as local variables.
"""

from importlib.resources import files
from typing import Final

from jobs.engine.connection.script import Script
from jobs.engine.queue import keys

_NAMES: Final = ("JOB", "IN_PROGRESS", "RESULT", "RETRY", "ABORT", "FIRED", "LOST", "UNKNOWN",
                 "DEAD_INDEX", "DEAD_LETTERS", "WAITING", "HANDED")  # fmt: skip


def _load(*names: str) -> Script:
    prelude = "".join(f"local {key} = '{getattr(keys, key)}'\n" for key in _NAMES)
    folder = files(__name__)
    return Script(
        prelude + "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)
    )


CLAIM: Final = _load("lib_set_all", "claim")
RENEW: Final = _load("renew")
FINISH: Final = _load("lib_set_all", "finish")
RECLAIM: Final = _load("reclaim")
FIRE_CRON: Final = _load("fire_cron")
NOTE_CRON_RUN: Final = _load("note_cron_run")
ENQUEUE: Final = _load("lib_is_running", "enqueue")
ENQUEUE_MANY: Final = _load("lib_set_all", "lib_is_running", "enqueue_many")
RETRY_DEAD: Final = _load("lib_is_running", "retry_dead")
DISCARD_DEAD: Final = _load("discard_dead")
QUEUE_STATE: Final = _load("queue_state")
