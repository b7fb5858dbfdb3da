"""Fixtures: the wheel, and a clean environment with it. Each is made once per test process."""

from pathlib import Path

import pytest

from tests.packaging.clean_environment import (
    Environment,
    build_wheel,
    create_environment,
    missing_build_tools,
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reason = missing_build_tools()
    if reason is not None:
        pytest.skip(reason)
    return build_wheel(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return create_environment(tmp_path_factory.mktemp("clean") / "venv", wheel)
