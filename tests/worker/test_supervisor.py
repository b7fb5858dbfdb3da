"""Worker processes as their supervisor starts them."""

import asyncio
import sys
from typing import Any

import pytest

from jobs.engine.supervisor import spawn

SAYS_SO = "import os, sys; os.write(int(sys.argv[-1]), b'1')"


@pytest.mark.parametrize(("code", "ready"), [(SAYS_SO, True), ("", False)])
async def test_a_child_is_ready_when_it_says_so(code: str, *, ready: bool) -> None:
    child = await spawn([sys.executable, "-c", code], None, None)
    assert await child.ready is ready
    assert await child.process.wait() == 0


async def test_a_child_may_be_ready_when_nobody_waits_for_it_any_more() -> None:
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, failure: failures.append(failure))
    child = await spawn([sys.executable, "-c", SAYS_SO], None, None)
    child.ready.cancel()
    assert await child.process.wait() == 0
    other = await spawn([sys.executable, "-c", SAYS_SO], None, None)
    assert await other.ready
    await other.process.wait()
    assert not failures
