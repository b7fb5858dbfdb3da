"""URLs of databases, and what errors of the database are called."""

import pytest

from jobs.errors import UsageError
from jobs.store.postgres.session import open_engine


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ("postgresql://me:pw@host:5433/db", "postgresql+asyncpg://me:pw@host:5433/db"),
        ("postgres://host/db", "postgresql+asyncpg://host/db"),
        ("postgresql://me@/db?host=/run/pg", "postgresql+asyncpg://me@/db?host=%2Frun%2Fpg"),
        ("postgresql://host/db?sslmode=require", "postgresql+asyncpg://host/db"),
    ],
)
def test_urls_are_those_of_libpq(given: str, opened: str) -> None:
    engine = open_engine(given, pool_size=1)
    assert engine.url.render_as_string(hide_password=False) == opened


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "secret", ""])
def test_another_database_is_refused_without_showing_the_url(url: str) -> None:
    with pytest.raises(UsageError, match="postgresql://") as error:
        open_engine(url, pool_size=1)
    assert "secret" not in str(error.value)
