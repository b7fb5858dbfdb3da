"""Many arguments of a script as one."""

import tracemalloc

from jobs.engine.connection.script import pack


def test_what_was_packed_leaves_no_memory_behind() -> None:
    large = [b"x" * 20_000_000]
    tracemalloc.start()
    try:
        assert len(pack(large)) > 20_000_000
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > 20_000_000
    assert left < 1_000_000
