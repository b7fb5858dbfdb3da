"""Eager tasks: run to their first suspension when they are created.

A job that never suspends costs no turn of the event loop. A job that suspends starts one turn
earlier. asyncio has eager tasks from Python 3.12.
"""

# ruff: noqa: SLF001 - private names of asyncio in Python 3.11, which changes no more

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

Body = Coroutine[Any, Any, None]

if sys.version_info >= (3, 12):

    class EagerTasks:
        """Factory of eager tasks.

        Args:
            loop: The running event loop.
            outside: Each task runs in a copy of this context.
        """

        def __init__(self, loop: asyncio.AbstractEventLoop, outside: Context) -> None:
            self._loop = loop
            self._outside = outside

        def start(self, body: Body, name: str) -> asyncio.Task[None]:
            """Run `body` to its first suspension; return its task, which may have ended."""
            context = self._outside.copy()
            return asyncio.Task(body, loop=self._loop, name=name, context=context, eager_start=True)

        def close(self) -> None:
            """Do nothing: no spare task exists."""

else:
    from asyncio.tasks import _current_tasks  # type: ignore[attr-defined]

    class EagerTasks:
        """Factory of eager tasks, for Python 3.11.

        A spare task exists beforehand. `start` runs the first step of a body as if that task ran
        it. If the body suspends, the spare task adopts it, and a new spare task is created. If the
        body ends in its first step, the spare task stays spare.

        Args:
            loop: The running event loop.
            outside: Each task runs in a copy of this context.
        """

        def __init__(self, loop: asyncio.AbstractEventLoop, outside: Context) -> None:
            self._loop = loop
            self._outside = outside
            self._spare: _Spare | None = self._new_spare()

        def _new_spare(self) -> "_Spare":
            return _Spare(self._loop, self._outside.copy())

        def start(self, body: Body, name: str) -> asyncio.Task[None]:
            """Run `body` to its first suspension; return its task.

            If the body ends in its first step, the spare task is returned, which goes on waiting.
            """
            spare, self._spare = self._spare, None
            if spare is None or not spare.is_free:
                spare = self._new_spare()
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
                self._spare = self._new_spare()
            return task

        def close(self) -> None:
            """End the spare task."""
            if self._spare is not None:
                self._spare.dismiss()

    class _Spare:
        """Task that waits for a body.

        Args:
            loop: The running event loop.
            context: The context of the task.
        """

        def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
            self.context = context
            self._loop = loop
            self._turn: asyncio.Future[None] = loop.create_future()
            self._body: Body | None = None
            self._awaited: Any = None
            self._dismissed = False
            coroutine = self._run()
            coroutine.send(None)  # an early cancellation is then raised in it and not before it
            self.task = asyncio.Task(coroutine, loop=loop, context=context)

        @property
        def is_free(self) -> bool:
            """True until the task has ended or its cancellation is requested."""
            return not self.task.cancelling() and not self.task.done()

        def is_untouched(self, outside: Context) -> bool:
            """Return whether no earlier body has changed the context or canceled the task."""
            try:
                return self.is_free and self.context == outside
            except Exception:  # noqa: BLE001 - a value whose comparison raises has changed
                return False

        def rouse(self) -> None:
            """Let the task look for its body in the next turn of the loop.

            That is called before the first step of the body, so the task runs before any callback
            that the step schedules.
            """
            if not self._turn.done():
                self._turn.set_result(None)

        def dismiss(self) -> None:
            """End the task."""
            self._dismissed = True
            self.rouse()

        def adopt(self, body: Body, awaited: Any) -> None:
            """Go on with a body.

            Args:
                body: A coroutine that has suspended in its first step.
                awaited: The object that the step has yielded: a future, or None for one turn.
            """
            self._body, self._awaited = body, awaited
            if asyncio.isfuture(awaited):
                # asyncio sets this flag while a future passes from a coroutine to its task. Until
                # this task yields the future, another task may wait for it.
                awaited._asyncio_future_blocking = False
                task: Any = self.task
                if task._must_cancel:
                    awaited.cancel(task._cancel_message)

        async def _run(self) -> None:
            canceled = None
            try:
                await _first_turn()
                while self._body is None and not self._dismissed:
                    await self._turn
                    self._turn = self._loop.create_future()
            except asyncio.CancelledError as error:
                canceled = error
            body, awaited = self._body, self._awaited
            if body is None:
                return
            if asyncio.isfuture(awaited):
                # As in asyncio: the cancellation of a waiting task cancels the awaited future,
                # and the future then reports the cancellation to the task.
                if canceled is not None and awaited.cancel(*canceled.args):
                    canceled = None
                if awaited.done():
                    awaited = None
                else:
                    awaited._asyncio_future_blocking = True
            await _rest(body, awaited, canceled)

    @types.coroutine
    def _first_turn() -> Generator[None, None, None]:
        yield

    @types.coroutine
    def _rest(body: Body, awaited: Any, error: BaseException | None) -> Generator[Any, Any, None]:
        """Go on with a body after its first step.

        Args:
            body: The suspended coroutine.
            awaited: The object that it waits for; None if the wait is over.
            error: An error to raise in the body at once.
        """
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
