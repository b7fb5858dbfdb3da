"""Tasks that are at their first wait when they are made behave like asyncio's in all else."""

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


async def test_the_first_step_is_made_at_once(tasks: EagerTasks) -> None:
    steps = []

    async def body() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")

    task = tasks.start(body(), "one")
    assert steps == ["first"]
    assert not task.done()
    await task
    assert steps == ["first", "second"]


async def test_a_body_runs_in_the_task_that_goes_by_its_name(tasks: EagerTasks) -> None:
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


async def test_whoever_starts_one_stays_the_current_task(tasks: EagerTasks) -> None:
    me = asyncio.current_task()

    async def inner() -> None:
        await asyncio.sleep(0)

    async def outer() -> None:
        own = asyncio.current_task()
        inside.append(tasks.start(inner(), "inner"))
        assert asyncio.current_task() is own
        assert inside[0] is not own

    inside: list[asyncio.Task[None]] = []
    tasks.start(outer(), "outer")
    assert asyncio.current_task() is me
    await inside[0]


async def test_one_can_be_started_outside_of_any_task(tasks: EagerTasks) -> None:
    ended = asyncio.Event()

    async def body() -> None:
        await asyncio.sleep(0)
        ended.set()

    asyncio.get_running_loop().call_soon(lambda: tasks.start(body(), "one"))
    await ended.wait()


async def test_what_a_body_sets_is_its_own(tasks: EagerTasks) -> None:
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


async def test_so_is_what_cannot_be_compared() -> None:
    before, after = Incomparable(), Incomparable()
    seen = []

    async def body() -> None:
        seen.append(mark.get())
        mark.set(after)

    mark.set(before)
    tasks = EagerTasks(asyncio.get_running_loop(), copy_context())
    tasks.start(body(), "one")
    tasks.start(body(), "two")
    assert [one is before for one in seen] == [True, True]


async def test_what_is_set_and_reset_is_the_same_context(tasks: EagerTasks) -> None:
    async def body() -> None:
        mark.reset(mark.set("inside"))

    async def reads() -> None:
        seen.append(mark.get())

    seen: list[str] = []
    tasks.start(body(), "one")
    tasks.start(reads(), "two")
    assert seen == ["none"]


async def test_a_body_that_cancels_itself_and_ends_does_not_cancel_the_next(
    tasks: EagerTasks,
) -> None:
    async def cancels() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()

    async def waits() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    ended: list[bool] = []
    tasks.start(cancels(), "one")
    await tasks.start(waits(), "two")
    assert ended == [True]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_whoever_cancels_all_there_is_does_not_cancel_what_comes_later(
    tasks: EagerTasks, turns: int
) -> None:
    async def waits() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    ended: list[bool] = []
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    await tasks.start(waits(), "one")
    assert ended == [True]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_nothing_is_left_once_it_is_closed(tasks: EagerTasks, turns: int) -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    await tasks.start(waits(), "one")
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(5):
        await asyncio.gather(*left)
    assert not any(one.cancelled() for one in left)


async def test_two_may_wait_for_the_same_future(tasks: EagerTasks) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen = []

    async def body() -> None:
        seen.append(await future)

    started = [tasks.start(body(), "x") for _ in range(3)]
    future.set_result(7)
    await asyncio.gather(*started)
    assert seen == [7, 7, 7]


async def test_an_error_of_what_is_awaited_is_raised_in_the_body(tasks: EagerTasks) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def body() -> None:
        try:
            await future
        except ValueError:
            await asyncio.sleep(0)
            raise KeyError("from the body") from None

    task = tasks.start(body(), "one")
    future.set_exception(ValueError("bad"))
    with pytest.raises(KeyError, match="from the body"):
        await task


async def test_awaiting_nonsense_is_an_error(tasks: EagerTasks) -> None:
    class Nonsense:
        def __await__(self) -> Any:
            yield "nonsense"

    async def body() -> None:
        await Nonsense()

    with pytest.raises(RuntimeError, match="bad yield: 'nonsense'"):
        await tasks.start(body(), "one")


async def test_a_limit_set_in_the_first_step_holds(tasks: EagerTasks) -> None:
    async def body() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        raise KeyError("after it")

    with pytest.raises(KeyError, match="after it"):
        await tasks.start(body(), "one")


async def test_a_group_opened_in_the_first_step_is_cancelled_with_its_task(
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

    task = tasks.start(body(), "one")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["child"]


STEPS = st.lists(st.sampled_from(["future", "child", "done", "turn", "catch", "self"]), max_size=4)
"""What a body does, one after the other."""
DEEDS = st.lists(st.sampled_from(["cancel", "uncancel", "resolve", "break", "turn"]), max_size=6)
"""What is done to its task meanwhile. A turn follows on each cancellation: by the next one what the
body waits for knows of it, too, which in asyncio it does at once."""


class Traced:
    """A body that writes down what it sees, and in which turn. future: what it and its children
    wait for."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.turns = 0
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(self, what: str) -> None:
        self.seen.append(f"{self.turns}: {what}")

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
        current.cancel("no more")

    async def do(self, deed: str, task: asyncio.Task[None]) -> None:
        if deed == "cancel":
            task.cancel("no more")
            await self.do("turn", task)
        elif deed == "uncancel":
            task.uncancel()
        elif deed == "turn":
            self.turns += 1
            await asyncio.sleep(0)
        elif deed == "resolve" and not self.future.done():
            self.future.set_result("resolved")
        elif deed == "break" and not self.future.done():
            self.future.set_exception(ValueError("broken"))


async def traced(
    steps: list[str], deeds: list[str], *, eager: bool, after_a_turn: bool = False
) -> list[str]:
    """What the body of such a task sees. after_a_turn: it is not the first thing to be started."""
    one = Traced()
    if eager:
        tasks = EagerTasks(asyncio.get_running_loop(), copy_context())
        if after_a_turn:
            await asyncio.sleep(0)
        task = tasks.start(one.body(steps), "traced")
    else:
        task = asyncio.create_task(one.body(steps))
        await asyncio.sleep(0)
    for deed in (*deeds, *8 * ["turn"], "resolve", *8 * ["turn"]):
        await one.do(deed, task)
    everyone = asyncio.all_tasks() - {asyncio.current_task()}
    for left in everyone:
        left.cancel()
    await asyncio.gather(task, one.future, *everyone, return_exceptions=True)
    return one.seen


@given(steps=STEPS, deeds=DEEDS, after_a_turn=st.booleans())
@example(
    steps=["catch", "turn", "turn", "turn"], deeds=["cancel", "turn", "turn"], after_a_turn=False
)
@example(steps=["catch", "self", "future", "future"], deeds=["resolve"], after_a_turn=False)
@example(steps=["catch", "self", "future", "future"], deeds=["resolve"], after_a_turn=True)
def test_whatever_is_done_to_it_a_body_sees_what_it_would_see_in_a_task_of_asyncio(
    steps: list[str], deeds: list[str], after_a_turn: bool
) -> None:
    ours = asyncio.run(traced(steps, deeds, eager=True, after_a_turn=after_a_turn))
    theirs = asyncio.run(traced(steps, deeds, eager=False))
    assert ours == theirs
