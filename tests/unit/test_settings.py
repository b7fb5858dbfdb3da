"""Settings: from the environment and `.env`, and one line for what is wrong."""

from pathlib import Path

import pytest

from jobs.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a `.env`, and an environment without our names."""
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = load_settings()

    assert (settings.task_default_retry_delay, settings.task_max_retries) == (5, 3)
    assert settings.task_default_queue == "default"
    assert settings.redis_url is None


def test_the_environment_goes_before_the_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".env").write_text("TASK_MAX_RETRIES=7\nTASK_MAX_JOBS=9\n")
    monkeypatch.setenv("TASK_MAX_RETRIES", "8")

    settings = load_settings()

    assert (settings.task_max_retries, settings.task_max_jobs) == (8, 9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TASK_MAX_RETRIES", "many"),
        ("TASK_MAX_RETRIES", "-1"),
        ("TASK_LEASE", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("DEFAULT_REGION", "usa"),
        ("TASK_ALERT_URL", "ftp://host/hook"),
        ("TASK_DEAD_LETTER_DAYS", "0"),
        *(
            (name, value)
            for name in (
                *("TASK_DEFAULT_RETRY_DELAY", "TASK_MAX_RETRY_DELAY", "TASK_TIMEOUT", "TASK_LEASE"),
                *("TASK_SHUTDOWN_GRACE", "TASK_ALERT_EVERY", "TASK_DEAD_LETTER_DAYS"),
            )
            for value in ("nan", "inf", "1e300")
        ),
    ],
)
def test_a_bad_value_ends_in_one_line_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        load_settings()

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["billing", "billing.", ".x.Y", "a b.C", "billing.W;x.Y", "1.A"])
def test_a_path_that_is_none_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_WORKERS", f"billing.WorkerSettings,{path}")

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value) == (
        f"TASK_WORKERS: {path!r} is not the path of a class, such as my_package.WorkerSettings"
    )


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        ("TASK_DOMAINS", "lead,call", '["lead", "call"]'),
        ("TASK_QUEUE_URLS", "call_tasks=redis://me:secret@host", '{"call_tasks": "redis://host'),
    ],
)
def test_what_has_to_be_json_is_shown_by_an_example(
    name: str, value: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: ") as caught:
        load_settings()

    assert example in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TASK_MAX_RETRYS", "TASK_MAX_RETRIES"),
        ("TASK_RETRIES", "TASK_MAX_RETRIES"),
        ("task_worker", "TASK_WORKERS"),
        ("TASK_HOME", "RINGLINE_HOME"),
        ("RINGLINE_HOM", "RINGLINE_HOME"),
        ("RINGLINE_LEASE", "TASK_LEASE"),
        ("RINGLINE_REDIS_URL", "REDIS_URL"),
    ],
)
def test_a_near_miss_of_a_name_is_refused(
    name: str, meant: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".env").write_text(f"{name}=x\n")
    with pytest.raises(SettingsError, match=f"^{name}: unknown setting; did you mean {meant}\\?$"):
        load_settings()

    (elsewhere / ".env").unlink()
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"did you mean {meant}"):
        load_settings()


@pytest.mark.parametrize("name", ["CLOCK", "HOME"])
def test_an_old_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"JOBS_{name}", "x")
    with pytest.raises(SettingsError, match=f"^JOBS_{name}: renamed to RINGLINE_{name}$"):
        load_settings()


@pytest.mark.parametrize("service", ["jobs", "task", "ringline", "ringline-redis", "task-workers"])
def test_the_variables_of_a_kubernetes_service_are_ignored(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = service.upper().replace("-", "_")
    for end in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"):
        monkeypatch.setenv(f"{prefix}_{end}", "10.0.0.1")
    assert load_settings().task_max_retries == 3


@pytest.mark.parametrize("name", ["TASK_ID", "TASK_NAME", "TASK_DEFINITION", "JOBS_HOM", "JOBS_X"])
def test_a_name_of_another_program_is_ignored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert load_settings().task_max_retries == 3


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@localhost/0")

    assert "hunter2" not in repr(load_settings())
