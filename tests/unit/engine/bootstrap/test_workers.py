"""Workers for several settings classes: each class keeps its own options."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from jobs.engine import EngineSettings, cron
from jobs.engine.bootstrap.worker_settings import own_hook
from jobs.engine.bootstrap.workers import create_worker, create_workers
from jobs.engine.scheduling.cron import Cron
from jobs.engine.worker.worker import Worker
from jobs.errors import UsageError
from jobs.settings import get_settings


async def send(ctx: dict[Any, Any]) -> None: ...


async def bill(ctx: dict[Any, Any]) -> None: ...


class Plain:
    queue_name = "plain"
    functions = [send]


class Both(EngineSettings):
    queues = ["first_tasks", "second_tasks"]
    functions = [bill]
    cron_jobs = [cron(bill, name="daily", hour=1)]


class Third(EngineSettings):
    queue_name = "third_tasks"
    functions = [send]
    cron_jobs = [cron(send, name="hourly", minute=1)]


@pytest.fixture(autouse=True)
def settings_read_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("REDIS_URL", "redis://main/0")
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def together(*classes: type) -> Worker:
    (worker,) = create_workers(*classes, handle_signals=False)
    return worker


async def test_functions_with_the_same_name_are_refused() -> None:
    class Other:
        queue_name = "other"
        functions = [_called("send")]

    with pytest.raises(UsageError, match="two jobs or schedules are named send"):
        together(Plain, Other)


async def test_cron_with_the_name_of_another_classs_job_is_refused() -> None:
    class Other:
        queue_name = "other"
        functions = [bill]
        cron_jobs = [cron(bill, name="send", hour=1)]

    with pytest.raises(UsageError, match="two jobs or schedules are named send"):
        together(Plain, Other)


async def test_function_may_be_in_several_classes() -> None:
    class Other:
        queue_name = "other"
        functions = [send]

    assert list(together(Plain, Other).functions) == ["send"]


async def test_all_queues_of_each_class_are_served() -> None:
    worker = together(Both, Third)
    assert worker.queues == ["first_tasks", "second_tasks", "third_tasks"]
    crons = {one.name: one.queue for one in worker.cron_jobs if isinstance(one, Cron)}
    assert crons == {"daily": "first_tasks", "hourly": "third_tasks"}


async def test_queue_of_several_classes_is_served_once() -> None:
    class More(EngineSettings):
        queue_name = "second_tasks"

    assert together(Both, More).queues == ["first_tasks", "second_tasks"]


async def test_classes_are_grouped_by_the_redis_of_their_queues(
    settings_read_anew: pytest.MonkeyPatch,
) -> None:
    elsewhere = dict.fromkeys(Both.queues, "redis://elsewhere/0")
    settings_read_anew.setenv("TASK_QUEUE_URLS", json.dumps(elsewhere))
    workers = create_workers(Third, Both, handle_signals=False)
    assert [worker.queues for worker in workers] == [["third_tasks"], Both.queues]
    assert workers[1].redis_settings.resolve() == "redis://elsewhere/0"  # type: ignore[union-attr]


async def test_class_with_queues_on_two_servers_is_refused(
    settings_read_anew: pytest.MonkeyPatch,
) -> None:
    settings_read_anew.setenv("TASK_QUEUE_URLS", '{"second_tasks": "redis://elsewhere/0"}')
    with pytest.raises(UsageError, match="first_tasks and second_tasks are on different servers"):
        together(Both)


async def test_time_options_may_be_timedeltas() -> None:
    class Timed:
        queue_name = "timed"
        functions = [bill]
        job_timeout = timedelta(seconds=9)
        keep_result = timedelta(minutes=1)

    made = together(Timed, Plain).functions["bill"]
    assert (made.timeout_s, made.keep_result_s) == (9, 60)


async def test_shutdown_hooks_run_despite_errors() -> None:
    done: list[str] = []

    class Fails(EngineSettings):
        queue_name = "fails"
        functions = [send]

        @staticmethod
        async def on_startup(ctx: dict[Any, Any]) -> None:
            raise RuntimeError("cannot open")

        @staticmethod
        async def on_shutdown(ctx: dict[Any, Any]) -> None:
            raise RuntimeError("cannot close")

    class Works(EngineSettings):
        queue_name = "works"

        @staticmethod
        async def on_startup(ctx: dict[Any, Any]) -> None:
            done.append("opened")

        @staticmethod
        async def on_shutdown(ctx: dict[Any, Any]) -> None:
            done.append("closed")

    class FailsToo(EngineSettings):
        queue_name = "fails_too"

        @staticmethod
        async def on_shutdown(ctx: dict[Any, Any]) -> None:
            raise RuntimeError("cannot close either")

    worker = create_worker(Fails, Works, FailsToo, handle_signals=False)
    startup, shutdown = own_hook(worker.on_startup), worker.on_shutdown
    assert startup is not None
    assert shutdown is not None
    with pytest.raises(RuntimeError, match="cannot open"):
        await startup({})
    assert done == []
    with pytest.raises(RuntimeError, match=r"cannot close$"):
        await shutdown({})
    assert done == ["closed"]


def _called(name: str) -> Any:
    async def another(ctx: dict[Any, Any]) -> None: ...

    another.__qualname__ = name
    return another


@pytest.mark.parametrize("value", [False, True])
async def test_former_name_of_requeue_unknown_still_works(value: bool) -> None:
    class Former(EngineSettings):
        queue_name = "former_tasks"
        functions = [send]
        put_back_unknown = value

    assert create_worker(Former, handle_signals=False).requeue_unknown is value
    assert Worker([send], put_back_unknown=value, handle_signals=False).requeue_unknown is value
    assert Worker([send], requeue_unknown=value, handle_signals=False).requeue_unknown is value
