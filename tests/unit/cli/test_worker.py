"""`ringline worker`: which settings classes its queues mean."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.cli.commands.worker import grace_of
from jobs.settings import get_settings, load_settings


@pytest.fixture(autouse=True)
def settings_read_anew() -> Iterator[None]:
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
def test_a_queue_that_no_settings_class_of_ours_serves(
    queues: str, setting: str, value: str, unserved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, value)
    result = CliRunner().invoke(main, ["worker", queues, "--burst"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"ringline: no settings class of ours serves {unserved}: "
        "give the path of yours, as in my_package.WorkerSettings\n"
    )


def test_a_child_may_end_its_jobs_for_as_long_as_its_class_says() -> None:
    class Patient:
        job_completion_wait = 60

    class Usual:
        functions = ()

    settings = load_settings(task_shutdown_grace=1)
    assert grace_of([Usual, Patient], settings) == 60
    assert grace_of([Usual], settings) == 1
