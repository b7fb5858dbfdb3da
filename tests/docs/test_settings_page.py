"""docs/settings.md lists every setting with its default."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.settings import Settings
from tests.docs.pages import ROOT, tables

ROWS = {row[0].strip("`"): row for row in tables(ROOT / "docs/settings.md", "variable")}


def shown(default: object) -> str:
    """Return the default as the page shows it."""
    match default:
        case None | ():
            return "unset"
        case SecretStr():
            return f"`{default.get_secret_value()}`"
        case frozenset():
            return f"`{json.dumps(sorted(default))}`"
        case dict() | Path() | str():
            return f"`{default}`"
        case int() | float():
            return f"`{default:g}`"
    raise TypeError(f"no form for {default!r}")


def test_every_setting_has_a_row() -> None:
    assert ROWS.keys() == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_row_is_right(name: str) -> None:
    _, meaning, unit, default = ROWS[name.upper()]
    field = Settings.model_fields[name]
    assert meaning
    assert unit
    assert default == shown(field.default)
    assert ("secret" in unit) == ("Secret" in str(field.annotation))
