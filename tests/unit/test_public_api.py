"""`jobs`: its public names load on first use, and unknown names are errors."""

import subprocess
import sys

import pytest

import jobs
from jobs import engine

LAZY = sorted(set(jobs.__all__) - {"create_pool"})


@pytest.mark.parametrize("name", LAZY)
def test_each_public_name_is_the_engines(name: str) -> None:
    assert getattr(jobs, name) is getattr(engine, name)


def test_public_names_are_listed() -> None:
    assert set(jobs.__all__) <= set(dir(jobs))


@pytest.mark.parametrize("name", ["no_such_name", "DeadLetter"])
def test_another_name_is_an_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'jobs' has no attribute '{name}'"):
        getattr(jobs, name)
    with pytest.raises(ImportError, match=f"cannot import name '{name}' from 'jobs'"):
        exec(f"from jobs import {name}")  # noqa: S102  # the statement under test


@pytest.mark.parametrize("module", ["jobs", "jobs.errors", "jobs.cli"])
def test_an_import_stays_cheap(module: str) -> None:
    """The command's help and a service's `except jobs.errors...` wait for no library."""
    code = f"import sys, {module}; print(*{{'arq', 'redis', 'sqlalchemy'}} & sys.modules.keys())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(  # noqa: S603  # our own command
        command, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
