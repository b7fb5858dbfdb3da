"""Packing of script arguments."""

import tracemalloc

from jobs.engine.connection.script import pack


def test_pack_releases_its_buffer() -> None:
    large = [b"x" * 20_000_000]
    tracemalloc.start()
    try:
        assert len(pack(large)) > 20_000_000
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > 20_000_000
    assert current < 1_000_000
