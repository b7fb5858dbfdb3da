"""Eager tasks run to their first suspension at once, and otherwise behave like asyncio's tasks."""

import asyncio
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.engine.worker.eager_tasks import EagerTasks

mark: ContextVar[Any] = ContextVar("mark", default="none")


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
async def tasks() -> EagerTasks:
    return EagerTasks(asyncio.get_running_loop(), copy_context())


async def test_first_step_runs_at_once(tasks: EagerTasks) -> None:
    steps = []

    async def body() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")

    task = tasks.start(body(), "task")
    assert steps == ["first"]
    assert not task.done()
    await task
    assert steps == ["first", "second"]


async def test_body_runs_in_the_task_that_has_its_name(tasks: EagerTasks) -> None:
    seen = []

    async def body(*, waits: bool) -> None:
        seen.append(asyncio.current_task())
        if waits:
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

    tasks.start(body(waits=False), "short")
    task = tasks.start(body(waits=True), "long")
    assert task.get_name() == "long"
    await task
    assert seen[1:] == [task, task]
    assert seen[0] is not asyncio.current_task()


async def test_starting_task_stays_the_current_task(tasks: EagerTasks) -> None:
    starter = asyncio.current_task()

    async def inner() -> None:
        await asyncio.sleep(0)

    async def outer() -> None:
        outer_task = asyncio.current_task()
        inside.append(tasks.start(inner(), "inner"))
        assert asyncio.current_task() is outer_task
        assert inside[0] is not outer_task

    inside: list[asyncio.Task[None]] = []
    tasks.start(outer(), "outer")
    assert asyncio.current_task() is starter
    await inside[0]


async def test_task_can_be_started_outside_of_any_task(tasks: EagerTasks) -> None:
    ended = asyncio.Event()

    async def body() -> None:
        await asyncio.sleep(0)
        ended.set()

    asyncio.get_running_loop().call_soon(lambda: tasks.start(body(), "task"))
    await ended.wait()


async def test_context_of_each_body_is_separate(tasks: EagerTasks) -> None:
    seen = []

    async def body(value: str, *, waits: bool) -> None:
        before = mark.get()
        mark.set(value)
        if waits:
            await asyncio.sleep(0)
        seen.append((before, mark.get()))

    started = [tasks.start(body(value, waits=value in "bd"), value) for value in "abcd"]
    await asyncio.wait(started)
    assert seen == [("none", value) for value in "acbd"]
    assert mark.get() == "none"


async def test_context_with_incomparable_values_is_separate() -> None:
    before, after = Incomparable(), Incomparable()
    seen = []

    async def body() -> None:
        seen.append(mark.get())
        mark.set(after)

    mark.set(before)
    tasks = EagerTasks(asyncio.get_running_loop(), copy_context())
    tasks.start(body(), "first")
    tasks.start(body(), "second")
    assert [value is before for value in seen] == [True, True]


async def test_context_that_a_body_has_reset_is_used_again(tasks: EagerTasks) -> None:
    async def body() -> None:
        mark.reset(mark.set("inside"))

    async def read() -> None:
        seen.append(mark.get())

    seen: list[str] = []
    tasks.start(body(), "first")
    tasks.start(read(), "second")
    assert seen == ["none"]


async def test_body_that_cancels_itself_and_ends_does_not_cancel_the_next_body(
    tasks: EagerTasks,
) -> None:
    async def cancel_itself() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()

    async def suspend() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    ended: list[bool] = []
    tasks.start(cancel_itself(), "first")
    await tasks.start(suspend(), "second")
    assert ended == [True]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_cancellation_of_all_tasks_does_not_cancel_later_tasks(
    tasks: EagerTasks, turns: int
) -> None:
    async def suspend() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    ended: list[bool] = []
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    await tasks.start(suspend(), "task")
    assert ended == [True]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_closed_factory_leaves_no_task(tasks: EagerTasks, turns: int) -> None:
    async def suspend() -> None:
        await asyncio.sleep(0)

    await tasks.start(suspend(), "task")
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks.close()
    remaining = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(5):
        await asyncio.gather(*remaining)
    assert not any(task.cancelled() for task in remaining)


async def test_several_tasks_may_wait_for_the_same_future(tasks: EagerTasks) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen = []

    async def body() -> None:
        seen.append(await future)

    started = [tasks.start(body(), "x") for _ in range(3)]
    future.set_result(7)
    await asyncio.gather(*started)
    assert seen == [7, 7, 7]


async def test_error_of_an_awaited_future_is_raised_in_the_body(tasks: EagerTasks) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            await future
        except ValueError:
            await asyncio.sleep(0)
            raise KeyError("from the body") from None

    task = tasks.start(body(), "task")
    future.set_exception(ValueError("bad"))
    with pytest.raises(KeyError, match="from the body"):
        await task


async def test_awaiting_a_non_future_is_an_error(tasks: EagerTasks) -> None:
    class Nonsense:
        def __await__(self) -> Any:
            yield "nonsense"

    async def body() -> None:
        await Nonsense()

    with pytest.raises(RuntimeError, match="bad yield: 'nonsense'"):
        await tasks.start(body(), "task")


async def test_timeout_set_in_the_first_step_holds(tasks: EagerTasks) -> None:
    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        raise KeyError("after the timeout")

    with pytest.raises(KeyError, match="after the timeout"):
        await tasks.start(body(), "task")


async def test_task_group_opened_in_the_first_step_is_canceled_with_its_task(
    tasks: EagerTasks,
) -> None:
    ended = []

    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("child")

    async def body() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        raise AssertionError

    task = tasks.start(body(), "task")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["child"]


STEPS = st.lists(st.sampled_from(["future", "child", "done", "turn", "catch", "self"]), max_size=4)
"""Steps of a body, in order."""
ACTIONS = st.lists(st.sampled_from(["cancel", "uncancel", "resolve", "break", "turn"]), max_size=6)
"""Actions on the task of the body meanwhile. A turn of the loop follows each cancellation: an eager
task passes it on to the awaited future in the next turn, a task of asyncio passes it on at once."""


class Traced:
    """Body that notes its observations, each with the number of the turn.

    The body and its children wait for `future`.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.turns = 0
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(self, text: str) -> None:
        self.seen.append(f"{self.turns}: {text}")

    async def body(self, steps: list[str]) -> None:
        catches = False
        for name in steps:
            self.note(name)
            catches = catches or name == "catch"
            try:
                await getattr(self, f"step_{name}")()
            except (asyncio.CancelledError, ValueError) as error:
                self.note(f"{type(error).__name__}: {error}")
                if not catches:
                    raise

    async def step_future(self) -> None:
        self.note(await self.future)

    async def step_child(self) -> None:
        self.note(await asyncio.create_task(self.child()))

    async def child(self) -> str:
        try:
            return await asyncio.shield(self.future)
        except asyncio.CancelledError as error:
            self.note(f"child: {error}")
            raise

    async def step_done(self) -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        ready.set_result("ready")
        self.note(await ready)

    async def step_turn(self) -> None:
        await asyncio.sleep(0)

    async def step_catch(self) -> None:
        pass

    async def step_self(self) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel("canceled by the test")

    async def act(self, action: str, task: asyncio.Task[None]) -> None:
        if action == "cancel":
            task.cancel("canceled by the test")
            await self.act("turn", task)
        elif action == "uncancel":
            task.uncancel()
        elif action == "turn":
            self.turns += 1
            await asyncio.sleep(0)
        elif action == "resolve" and not self.future.done():
            self.future.set_result("resolved")
        elif action == "break" and not self.future.done():
            self.future.set_exception(ValueError("broken"))


async def traced(
    steps: list[str], actions: list[str], *, eager: bool, after_a_turn: bool = False
) -> list[str]:
    """Return the observations of a traced body.

    Args:
        steps: The steps of the body.
        actions: Actions on the task.
        eager: Run the body in an eager task instead of one of asyncio's.
        after_a_turn: Start the eager task one turn after the factory was created.
    """
    traced_body = Traced()
    if eager:
        tasks = EagerTasks(asyncio.get_running_loop(), copy_context())
        if after_a_turn:
            await asyncio.sleep(0)
        task = tasks.start(traced_body.body(steps), "traced")
    else:
        task = asyncio.create_task(traced_body.body(steps))
        await asyncio.sleep(0)
    for action in (*actions, *8 * ["turn"], "resolve", *8 * ["turn"]):
        await traced_body.act(action, task)
    remaining = asyncio.all_tasks() - {asyncio.current_task()}
    for other in remaining:
        other.cancel()
    await asyncio.gather(task, traced_body.future, *remaining, return_exceptions=True)
    return traced_body.seen


@given(steps=STEPS, actions=ACTIONS, after_a_turn=st.booleans())
@example(
    steps=["catch", "turn", "turn", "turn"], actions=["cancel", "turn", "turn"], after_a_turn=False
)
@example(steps=["catch", "self", "future", "future"], actions=["resolve"], after_a_turn=False)
@example(steps=["catch", "self", "future", "future"], actions=["resolve"], after_a_turn=True)
def test_body_observes_the_same_in_an_eager_task_as_in_a_task_of_asyncio(
    steps: list[str], actions: list[str], after_a_turn: bool
) -> None:
    eager = asyncio.run(traced(steps, actions, eager=True, after_a_turn=after_a_turn))
    of_asyncio = asyncio.run(traced(steps, actions, eager=False))
    assert eager == of_asyncio
