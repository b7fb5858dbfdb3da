"""`settings/example.env`: each setting once, with a comment and the default of the model."""

import re
from pathlib import Path
from typing import Final

import pytest

import jobs.settings
import settings
from jobs.settings import Settings, load_settings

TEXT: Final = (Path(settings.__file__).parent / "example.env").read_text("utf-8")
ASSIGNMENTS: Final = re.findall(r"^#([A-Z_]+)=(.*)$", TEXT, flags=re.MULTILINE)
NAMES: Final = [name for name, _ in ASSIGNMENTS]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_each_setting_is_listed_once() -> None:
    assert sorted(NAMES) == sorted(name.upper() for name in Settings.model_fields)


def test_each_line_is_a_comment_an_assignment_or_empty() -> None:
    for line in TEXT.splitlines():
        assert re.fullmatch(r"|# .*|#[A-Z_]+=.*", line), line


def test_each_setting_has_a_comment_above() -> None:
    lines = TEXT.splitlines()
    for name in NAMES:
        at = next(at for at, line in enumerate(lines) if line.startswith(f"#{name}="))
        assert lines[at - 1].startswith("# "), name


def test_uncommented_lines_load_as_the_defaults(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in ASSIGNMENTS))

    assert load_settings(_env_file=env_file) == load_settings(_env_file=None)


def test_each_default_is_spelled_out() -> None:
    empty = {name.lower() for name, value in ASSIGNMENTS if not value}

    assert empty == {
        name for name, field in Settings.model_fields.items() if field.default in (None, ())
    }


def test_a_copy_of_the_file_changes_nothing(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(TEXT)

    assert load_settings(_env_file=env_file) == load_settings(_env_file=None)


def test_the_deployment_re_exports_the_package() -> None:
    for name in settings.__all__:
        assert getattr(settings, name) is getattr(jobs.settings, name)
