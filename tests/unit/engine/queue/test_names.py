"""The queue of a job by its name, and the settings classes that a process is given."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.engine import EngineSettings, job, request
from jobs.engine.queue.names import KnownClasses, QueueNames, load_configured
from jobs.errors import UsageError
from jobs.settings import Settings, get_settings, load_settings

DOMAINS = frozenset({"lead"})


@job("names_test.listed", aliases=["names_test.old"])
async def listed(ctx: object) -> None: ...


@job("names_test.elsewhere", queue="slow_tasks")
async def elsewhere(ctx: object) -> None: ...


async def plain(ctx: object) -> None: ...


class Listing(EngineSettings):
    queue_name = "names_test_tasks"
    functions = [listed, elsewhere, plain]


class Plain:
    functions = [plain]


def known(**queues: list[str]) -> QueueNames:
    """Return a rule with one settings class per name of a queue, which lists these jobs."""
    classes = KnownClasses()
    for queue, names in queues.items():
        classes.list_jobs(names, (queue, "more_tasks"))
    return QueueNames(DOMAINS, known=(classes,))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with settings classes, which no test has imported yet."""
    name = f"names_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "from jobs.engine import EngineSettings, job\n"
        f"@job('{name}.invoice')\n"
        "async def invoice(ctx): ...\n"
        "async def send(ctx): ...\n"
        "class Mine(EngineSettings):\n"
        "    queue_name = 'mine_tasks'\n"
        "    functions = [invoice]\n"
        "class OfArq:\n"
        "    functions = [send]\n"
        "number = 7\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield name
    sys.modules.pop(name, None)
    get_settings.cache_clear()


def configured(paths: str) -> Settings:
    return load_settings(_env_file=None, task_workers=paths)


def test_the_class_that_lists_a_job_gives_its_queue() -> None:
    names = known(vip_tasks=["lead.qualify", "billing.invoice"])
    assert names.of_job("billing.invoice") == "vip_tasks"
    assert names.of_job("lead.qualify") == "vip_tasks"
    assert names.of_job("lead.other") == "lead_tasks"
    assert names.of_job("other") == "default"


def test_the_prefix_decides_between_several_classes() -> None:
    names = known(vip_tasks=["lead.qualify", "a.b"], lead_tasks=["lead.qualify"], x_tasks=["a.b"])
    assert names.of_job("lead.qualify") == "lead_tasks"
    assert names.of_job("a.b") == "default"


def test_a_class_with_several_queues_takes_its_jobs_in_the_first() -> None:
    names = known(first_tasks=["a.b"])
    assert names.of_job("a.b") == "first_tasks"


def test_an_imported_class_gives_the_queue_of_its_functions() -> None:
    names = QueueNames.from_settings()
    assert names.of_job("names_test.listed") == "names_test_tasks"
    assert names.of_job("names_test.old") == "names_test_tasks"
    assert request(plain).queue == "names_test_tasks"
    assert request(elsewhere).queue == "slow_tasks"
    assert names.of_job("plain") == "default"  # another module may have such a function
    assert "names_test_tasks" not in names.all()


def test_a_class_within_a_function_is_not_known() -> None:
    @job("names_test.local")
    async def local(ctx: object) -> None: ...

    class Local(EngineSettings):
        queue_name = "local_tasks"
        functions = [local]

    assert Local.functions
    assert QueueNames.from_settings().of_job("names_test.local") == "default"


def test_the_classes_of_the_setting_are_discovered(module: str) -> None:
    settings = configured(f" {module}.Mine, {module}:OfArq,")
    assert list(QueueNames.from_settings(settings).all())[-1] == "default"  # imports nothing
    names = QueueNames.discover(settings)
    assert list(names.all())[-2:] == ["mine_tasks", "arq:queue"]
    assert names.of_job(f"{module}.invoice") == "mine_tasks"
    assert names.of_job("send") == "arq:queue"
    assert names.without_local().of_job(f"{module}.invoice") == "mine_tasks"
    assert names.without_local().of_job("names_test.listed") == "default"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("{}.Nothing", "cannot be imported: module '{}' has no attribute 'Nothing'"),
        ("no_{}.Mine", "cannot be imported: No module named 'no_{}'"),
        ("{}_broken.Mine", "cannot be imported: two lines"),
        ("{}.number", "is not a settings class"),
    ],
)
def test_a_bad_path_ends_in_one_line(module: str, path: str, complaint: str) -> None:
    path, complaint = path.format(module), complaint.format(module)
    with pytest.raises(UsageError) as raised:
        load_configured(configured(path))
    assert str(raised.value) == f"TASK_WORKERS: {path} {complaint}"
