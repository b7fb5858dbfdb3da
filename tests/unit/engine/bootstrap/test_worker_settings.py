"""Settings classes: inheritance, checks at definition, and the form that arq reads."""

from collections.abc import Iterator
from typing import Any

import pytest
from arq import cron as arq_cron
from arq.connections import RedisSettings
from arq.worker import Function, func, get_kwargs

from jobs.engine.bootstrap.worker_settings import EngineSettings, JobFunctions
from jobs.engine.connection.urls import Address
from jobs.engine.definition.decorator import job
from jobs.engine.definition.job import BACKSTOP
from jobs.engine.queue.names import QueueNames
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.engine.queue.servers import LazyRedisSettings
from jobs.errors import UsageError
from jobs.settings import Settings, get_settings


@job("tests.short", timeout=3, keep_result=0, aliases=["tests.old_name"])
async def short(ctx: dict[str, Any]) -> None: ...


@job("tests.usual")
async def usual(ctx: dict[str, Any]) -> None: ...


async def plain(ctx: dict[Any, Any]) -> None: ...


class Base(EngineSettings):
    max_jobs = 7

    @staticmethod
    async def on_shutdown(ctx: dict[str, Any]) -> None:
        ctx["closed"] = True


class Derived(Base):
    queue_name = "derived_tasks"
    functions = (short, usual, plain)


@pytest.fixture(autouse=True)
def settings_read_anew() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def read_by_arq(settings: Any) -> dict[str, Any]:
    return get_kwargs(settings)


def test_arq_reads_inherited_options() -> None:
    seen = read_by_arq(Derived)
    assert (seen["max_jobs"], seen["queue_name"]) == (7, "derived_tasks")
    assert seen["job_serializer"] is serialize
    assert seen["job_deserializer"] is deserialize
    assert seen["log_results"] is False
    assert seen["health_check_interval"] <= 10
    assert seen["on_shutdown"] is Base.on_shutdown


def test_arq_reads_no_engine_options() -> None:
    assert "redis_url" not in read_by_arq(Derived)
    assert "dead_letters" not in read_by_arq(Derived)


def test_functions_have_the_options_of_their_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_TIMEOUT", "90")
    functions = {one.name: one for one in map(func, read_by_arq(Derived)["functions"])}
    assert set(functions) == {"tests.short", "tests.old_name", "tests.usual", "plain"}
    assert functions["tests.short"].timeout_s == 3 + BACKSTOP
    assert functions["tests.old_name"].keep_result_s == 0
    assert functions["tests.usual"].timeout_s == 90 + BACKSTOP
    assert (functions["tests.usual"].max_tries or 0) > 1000
    assert functions["plain"].max_tries is None


def test_time_limits_follow_the_current_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = JobFunctions([usual])
    assert [one.timeout_s for one in functions] == [60 + BACKSTOP]
    monkeypatch.setenv("TASK_TIMEOUT", "90")
    get_settings.cache_clear()
    assert [one.timeout_s for one in functions] == [90 + BACKSTOP]


def test_functions_can_be_extended() -> None:
    class More(Base):
        functions = (*Derived.functions, func(plain, name="again"))

    assert [one.name for one in read_by_arq(More)["functions"]][-2:] == ["plain", "again"]
    assert len(More.functions) == 5


def test_duplicate_function_is_refused() -> None:
    with pytest.raises(UsageError, match=r"functions lists tests\.usual twice"):
        JobFunctions([usual, usual])


@pytest.mark.parametrize(
    ("name", "hint"), [("max_job", "did you mean max_jobs"), ("color", "unknown option color")]
)
def test_unknown_option_is_refused(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        type("Wrong", (EngineSettings,), {name: 1})


def test_cron_with_the_name_of_a_job_is_refused() -> None:
    crons = [arq_cron(plain, name="tests.usual", hour=1)]
    with pytest.raises(UsageError, match=r"the cron tests\.usual"):
        type("Wrong", (EngineSettings,), {"functions": [usual], "cron_jobs": crons})


def test_explicit_redis_settings_take_precedence() -> None:
    class Explicit(Base):
        redis_settings = RedisSettings(host="elsewhere")

    class Below(Explicit):
        functions = (usual,)

    assert read_by_arq(Below)["redis_settings"].host == "elsewhere"


def test_class_may_set_its_redis_url() -> None:
    class Own(Base):
        redis_url = "redis://own:1/2"

    settings = read_by_arq(Own)["redis_settings"]
    assert isinstance(settings, LazyRedisSettings)
    assert settings.url == "redis://own:1/2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host:7/3", {"host": "host", "port": 7, "database": 3, "ssl": False}),
        ("redis://me:p%40ss@host", {"username": "me", "password": "p@ss"}),
        ("rediss://host?ssl_ca_certs=/ca.pem", {"ssl": True, "ssl_ca_certs": "/ca.pem"}),
        ("unix:///run/redis.sock?db=4", {"unix_socket_path": "/run/redis.sock", "database": 4}),
        ("redis://host?socket_connect_timeout=3", {"conn_timeout": 3}),
    ],
)
def test_url_options_reach_arqs_settings(url: str, expected: dict[str, object]) -> None:
    settings = Address.of(url).arq_settings()
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://me:secret@host", "not a Redis URL: http://host"),
        ("redis://me:secret/s@host", "not a Redis URL: "),
        ("redis://me:secret℀@host", "not a Redis URL: redis://"),
        ("redis://[secret", "not a Redis URL: redis://•••"),
        ("redis://me:secret@host?db=one", "redis://host: Invalid value for 'db'"),
        ("redis://host?client_name=x", "Redis option client_name"),
        ("redis://me:?secret=@host", "not a Redis URL: "),
    ],
)
def test_url_that_arq_cannot_use_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        Address.of(url).arq_settings()
    assert "secret" not in str(raised.value)


async def test_context_contains_the_queue() -> None:
    class Redis:
        default_queue_name = "arq:queue"

    ctx: dict[str, Any] = {"redis": Redis()}
    await Derived.on_startup(ctx)
    assert ctx["queue"] == "derived_tasks"


def test_names_resolve_to_queues() -> None:
    names = QueueNames.from_settings(Settings(_env_file=None))
    assert names.of_job("lead.qualify") == "lead_tasks"
    assert names.of_job("default.ping") == "default"
    assert names.of_job("lead") == "default"
    assert names.canonical("lead_queue") == "lead_tasks"
    assert names.canonical("other_queue") == "other_queue"
    assert set(names.all()) == {
        "lead_tasks",
        "call_tasks",
        "campaign_tasks",
        "analytics_tasks",
        "default",
    }


def test_functions_are_a_sequence_of_arq_functions() -> None:
    functions = JobFunctions([usual])
    assert isinstance(functions[0], Function)
    assert functions[:1] == [functions[0]]


def test_second_base_supplies_options_that_the_first_lacks() -> None:
    class First(EngineSettings):
        max_jobs = 3

    class Second(EngineSettings):
        max_jobs = 4
        job_timeout = 5
        keep_result = 0

    class Both(First, Second):
        functions = (usual,)

    seen = read_by_arq(Both)
    assert (seen["max_jobs"], seen["job_timeout"], seen["keep_result"]) == (3, 5, 0)


class OwnUrl:
    redis_url = "redis://mixed-in/0"


class OwnRedis:
    redis_settings = RedisSettings(host="mixed-in")


class ByUrl(EngineSettings):
    redis_url = "redis://base/0"


class BySettings(EngineSettings):
    redis_settings = RedisSettings(host="base")


@pytest.mark.parametrize("base", [EngineSettings, ByUrl, BySettings])
@pytest.mark.parametrize("mixin", [OwnUrl, OwnRedis])
def test_redis_of_the_nearest_base_is_used(mixin: type, base: type) -> None:
    assert "mixed-in" in redis_of(type("Nearer", (mixin, base), {}))
    farther = redis_of(type("Farther", (base, mixin), {}))
    # EngineSettings itself says no more than where to look when nobody says it.
    assert ("mixed-in" in farther) == (base is EngineSettings)


def test_attributes_set_later_are_inherited() -> None:
    class Late(EngineSettings):
        functions = (usual,)

    Late.max_jobs = 5  # type: ignore[attr-defined]  # as arq's users do
    setattr(Late, "functions", [*Late.functions, plain])  # noqa: B010 - it is declared a tuple

    class Heir(Late):
        queue_name = "heir_tasks"

    seen = read_by_arq(Heir)
    assert seen["max_jobs"] == 5
    assert [one.name for one in map(func, seen["functions"])] == ["tests.usual", "plain"]


def test_queues_of_the_nearest_base_are_served() -> None:
    class Two(EngineSettings):
        queues = ["one_tasks", "two_tasks"]

    class Other(Two):
        queue_name = "other_tasks"

    class Second(EngineSettings):
        queues = ["one_tasks", "two_tasks"]
        queue_name = "two_tasks"

    assert "queues" not in read_by_arq(Other) or not read_by_arq(Other)["queues"]
    assert read_by_arq(Other)["queue_name"] == "other_tasks"
    assert read_by_arq(Second)["queue_name"] == "two_tasks"
    with pytest.raises(UsageError, match="queue_name three_tasks is not among queues"):
        type("Wrong", (EngineSettings,), {"queues": ["one_tasks"], "queue_name": "three_tasks"})


def redis_of(settings: type) -> str:
    found = read_by_arq(settings)["redis_settings"]
    return str(found.url if isinstance(found, LazyRedisSettings) else found.host)


async def test_queue_name_is_the_first_of_several_queues() -> None:
    class Several(EngineSettings):
        queues = ["one_tasks", "other_tasks"]

    class Redis:
        default_queue_name = "arq:queue"

    ctx: dict[str, Any] = {"redis": Redis()}
    await Several.on_startup(ctx)
    assert ctx["queue"] == "one_tasks"
    assert read_by_arq(Several)["queue_name"] == "one_tasks"


def test_queue_alias_resolves_as_for_producers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_DOMAINS", '["lead", "billing"]')

    class Lead(EngineSettings):
        queue_name = "lead_queue"

    class Several(EngineSettings):
        queues = ["billing_queue", "other_queue"]

    assert read_by_arq(Lead)["queue_name"] == "lead_tasks"
    # What a plain arq pool has put there runs too.
    assert Lead.queues == ["lead_tasks", "lead_queue"]  # type: ignore[attr-defined]  # made for it
    assert Several.queues == ["billing_tasks", "billing_queue", "other_queue"]
