"""`ringline worker`: settings classes of its queues, and their grace period."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.cli.commands.worker import grace_period
from jobs.settings import get_settings, load_settings


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("queues", "setting", "value", "unserved"),
    [
        ("all", "TASK_DEFAULT_QUEUE", "background", "background"),
        ("billing_tasks", "TASK_DOMAINS", '["lead", "billing"]', "billing_tasks"),
        ("billing_queue", "TASK_DOMAINS", '["lead", "billing"]', "billing_tasks"),
        ("engine_tasks", "TASK_DOMAINS", '["engine"]', "engine_tasks"),
    ],
)
def test_queue_without_a_settings_class_is_rejected(
    queues: str, setting: str, value: str, unserved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, value)
    result = CliRunner().invoke(main, ["worker", queues, "--burst"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"ringline: no known settings class serves {unserved}: name your own class by its path, "
        "such as my_package.WorkerSettings, here or in TASK_WORKERS\n"
    )


def test_grace_period_is_the_longest_of_the_classes_and_the_setting() -> None:
    class LongWait:
        job_completion_wait = 60

    class Default:
        functions = ()

    settings = load_settings(task_shutdown_grace=1)
    assert grace_period([Default, LongWait], settings) == 60
    assert grace_period([Default], settings) == 1
