"""Eager tasks: run to their first suspension when they are created.

A job that never suspends costs no turn of the event loop, and one that does starts a turn earlier.
asyncio has this built in from Python 3.12.
"""

# ruff: noqa: SLF001 - what is private in asyncio of 3.11 will not change any more

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

Body = Coroutine[Any, Any, None]

if sys.version_info >= (3, 12):

    class EagerTasks:
        """Makes tasks that run in copies of the context `outside`."""

        def __init__(self, loop: asyncio.AbstractEventLoop, outside: Context) -> None:
            self._loop = loop
            self._outside = outside

        def start(self, body: Body, name: str) -> asyncio.Task[None]:
            context = self._outside.copy()
            return asyncio.Task(body, loop=self._loop, name=name, context=context, eager_start=True)

        def close(self) -> None:
            """Nothing is left."""

else:
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined]

    class EagerTasks:
        """Makes tasks that run in copies of the context `outside`.

        The first step of a body is made here, in the name of a task that is there for whoever waits
        first: it goes on with that body, and those that did not wait needed none. The next one is
        made once a body is under way.
        """

        def __init__(self, loop: asyncio.AbstractEventLoop, outside: Context) -> None:
            self._loop = loop
            self._outside = outside
            self._spare: _Spare | None = self._made()

        def _made(self) -> "_Spare":
            return _Spare(self._loop, self._outside.copy())

        def start(self, body: Body, name: str) -> asyncio.Task[None]:
            spare, self._spare = self._spare, None
            if spare is None or not spare.is_free:
                spare = self._made()
            task = spare.task
            task.set_name(name)
            spare.rouse()
            current = _current_tasks.get(self._loop)
            _current_tasks[self._loop] = task
            try:
                awaited = spare.context.run(body.send, None)
            except StopIteration:
                if spare.is_untouched(self._outside):
                    self._spare = spare
                else:
                    spare.dismiss()
            else:
                spare.adopt(body, awaited)
            finally:
                if current is None:
                    del _current_tasks[self._loop]
                else:
                    _current_tasks[self._loop] = current
            if self._spare is None:
                self._spare = self._made()
            return task

        def close(self) -> None:
            """End what waits for a body."""
            if self._spare is not None:
                self._spare.dismiss()

    class _Spare:
        """A task that waits for something to do."""

        def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
            self.context = context
            self._loop = loop
            self._turn: asyncio.Future[None] = loop.create_future()
            self._body: Body | None = None
            self._awaited: Any = None
            self._dismissed = False
            own = self._run()
            own.send(None)  # begun, so that a cancellation does not end it before it can see it
            self.task = asyncio.Task(own, loop=loop, context=context)

        @property
        def is_free(self) -> bool:
            return not self.task.cancelling() and not self.task.done()

        def is_untouched(self, outside: Context) -> bool:
            """Return whether the next body would find nothing that another has left behind."""
            try:
                return self.is_free and self.context == outside
            except Exception:  # noqa: BLE001 - whatever can be compared only by raising has changed
                return False

        def rouse(self) -> None:
            """Look for a body in the loop's next turn, before all that its first step sets off."""
            if not self._turn.done():
                self._turn.set_result(None)

        def dismiss(self) -> None:
            """Wait no longer."""
            self._dismissed = True
            self.rouse()

        def adopt(self, body: Body, awaited: Any) -> None:
            """Go on with a body whose first step has come to `awaited`."""
            self._body, self._awaited = body, awaited
            if asyncio.isfuture(awaited):
                # The mark of a future that is just being handed to its task; till then another
                # task may come to wait for it.
                awaited._asyncio_future_blocking = False
                task: Any = self.task
                if task._must_cancel:
                    awaited.cancel(task._cancel_message)

        async def _run(self) -> None:
            cancelled = None
            try:
                await _first_turn()
                while self._body is None and not self._dismissed:
                    await self._turn
                    self._turn = self._loop.create_future()
            except asyncio.CancelledError as error:
                cancelled = error
            body, awaited = self._body, self._awaited
            if body is None:
                return
            if asyncio.isfuture(awaited):
                # As when a waiting task is canceled: the future that it waits for reports it.
                if cancelled is not None and awaited.cancel(*cancelled.args):
                    cancelled = None
                if awaited.done():
                    awaited = None
                else:
                    awaited._asyncio_future_blocking = True
            await _rest(body, awaited, cancelled)

    @types.coroutine
    def _first_turn() -> Generator[None, None, None]:
        yield

    @types.coroutine
    def _rest(body: Body, awaited: Any, error: BaseException | None) -> Generator[Any, Any, None]:
        """Go on with a body. awaited: what it still waits for, else None. error: to be raised in it
        at once."""
        waits = awaited is not None
        while True:
            if error is None:
                try:
                    if waits:
                        yield awaited
                except BaseException as raised:  # noqa: BLE001 - passed on
                    error = raised
                else:
                    yield from body
                    return
            try:
                awaited, waits = body.throw(error), True
            except StopIteration:
                return
            finally:
                error = None
