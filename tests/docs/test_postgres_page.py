"""docs/postgres.md lists the privileges that `ringline migrate --grant` gives."""

from jobs.store.postgres.grants import PRIVILEGES
from tests.docs.pages import ROOT, tables


def test_the_privileges_are_those_of_the_code() -> None:
    rows = list(tables(ROOT / "docs/postgres.md", "tables"))
    listed = {
        table.strip("`"): privileges for names, privileges in rows for table in names.split(", ")
    }
    assert listed == dict(PRIVILEGES)
