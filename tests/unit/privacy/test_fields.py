"""What is personal by the field it stands in."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lead.columns import ALIASES
from jobs.privacy.fields import (
    ADDRESSES,
    NAMES,
    NUMBERS,
    mask_argument,
    mask_repeated,
    mask_value,
    named_arguments,
)


def test_the_headings_of_lead_files_are_known() -> None:
    names = {*ALIASES["name"], *ALIASES["first_name"], *ALIASES["last_name"]}
    assert names <= NAMES
    assert set(ALIASES["number"]) <= NUMBERS
    assert set(ALIASES["email"]) <= ADDRESSES


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "Ada Lovelace", "A••• L•••"),
        ("First Name", "ada", "a•••"),
        ("phone", "555-0123", "55••••23"),
        ("phone", 12125550123, "12•••••••23"),
        ("number", 7, 7),
        ("email", "nobody", "•••@•••"),
        (
            "attributes",
            {"spouse": "ada", "note": {"a": "b"}},
            {"spouse": "•••", "note": {"a": "•••"}},
        ),
        ("changes", {"name": ["Ada"]}, {"name": ["A•••"]}),
        ("error", ValueError("+12125550123"), "ValueError: +1••••••••23"),
        ("data", b"Ada", "(3 bytes)"),
        ("count", 3.5, 3.5),
    ],
)
def test_values_are_masked_by_their_field(field: str, value: object, shown: object) -> None:
    assert mask_value(value, field) == shown


@pytest.mark.parametrize(
    "text",
    ["add_tags", "US", "/data/leads.csv", "fail:ValueError", "2026-01-01", "lead.update", ""],
)
def test_of_arguments_what_is_technical_is_shown(text: str) -> None:
    assert mask_argument(text, "anything") == text


@pytest.mark.parametrize("text", ["Ada", "ada lovelace", "José", "O'Brien", "Jean-Luc"])
def test_of_arguments_what_may_be_a_name_is_not(text: str) -> None:
    assert text not in str(mask_argument({"nombre": [text]}, "changes"))


def test_an_error_that_repeats_an_argument_is_masked() -> None:
    arguments = named_arguments(
        ["Ada Lovelace", 7], {"lead": {"company": "Engines Ltd"}}, ["name", "count"]
    )
    text = "Lovelace of Engines Ltd is not Ada; Adam and Loveland are"
    assert mask_repeated(text, arguments) == "L••• of E••• L••• is not A•••; Adam and Loveland are"


@pytest.mark.parametrize("name", ["José Álvarez", "JOSÉ ÁLVAREZ"])
@pytest.mark.parametrize("written", [str, repr, ascii, json.dumps])
def test_an_argument_is_known_again_in_capitals_and_escaped(
    name: str, written: Callable[[str], str]
) -> None:
    arguments = named_arguments(["José Álvarez"], {}, ["name"])
    shown = written(name).replace(written(name).strip("'\""), "J••• Á•••")
    assert mask_repeated(f"no row for {written(name)}", arguments) == f"no row for {shown}"


def test_leftover_arguments_have_the_last_parameters_name() -> None:
    assert named_arguments([1, 2, 3], {"c": 4}, ["a", "b"]) == [
        ("a", 1),
        ("b", 2),
        ("b", 3),
        ("c", 4),
    ]
    assert named_arguments([1], {}, []) == [("", 1)]


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(values, st.text())
def test_anything_can_be_masked(value: Any, text: str) -> None:
    mask_value(value, "name")
    mask_argument(value, text)
    mask_repeated(text, [("", value), ("attributes", value)])
