"""What all tests share: the fixtures that users of the jobs test with too, and the same examples of
hypothesis in every run, however slow the machine. `pytest --hypothesis-profile=thorough` draws new
ones, and many more."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["jobs.testing.servers"]

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=5000, deadline=None, database=None)
settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def logs_as_nobody_has_configured_them() -> Iterator[None]:
    """What a test makes of the logs ends with it: they are of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
