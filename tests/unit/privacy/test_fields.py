"""Personal data recognized by the name of its field."""

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


def test_lead_file_headings_are_masked_fields() -> None:
    names = {*ALIASES["name"], *ALIASES["first_name"], *ALIASES["last_name"]}
    assert names <= NAMES
    assert set(ALIASES["number"]) <= NUMBERS
    assert set(ALIASES["email"]) <= ADDRESSES


@pytest.mark.parametrize(
    ("field", "value", "masked"),
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
def test_value_is_masked_by_its_field_name(field: str, value: object, masked: object) -> None:
    assert mask_value(value, field) == masked


@pytest.mark.parametrize(
    "text",
    ["add_tags", "US", "/data/leads.csv", "fail:ValueError", "2026-01-01", "lead.update", ""],
)
def test_technical_argument_is_shown(text: str) -> None:
    assert mask_argument(text, "anything") == text


@pytest.mark.parametrize("text", ["Ada", "ada lovelace", "José", "O'Brien", "Jean-Luc"])
def test_argument_that_may_be_a_name_is_masked(text: str) -> None:
    assert text not in str(mask_argument({"nombre": [text]}, "changes"))


def test_error_text_that_repeats_an_argument_is_masked() -> None:
    arguments = named_arguments(
        ["Ada Lovelace", 7], {"lead": {"company": "Engines Ltd"}}, ["name", "count"]
    )
    text = "Lovelace of Engines Ltd is not Ada; Adam and Loveland are"
    assert mask_repeated(text, arguments) == "L••• of E••• L••• is not A•••; Adam and Loveland are"


@pytest.mark.parametrize("name", ["José Álvarez", "JOSÉ ÁLVAREZ"])
@pytest.mark.parametrize("spell", [str, repr, ascii, json.dumps])
def test_repeated_argument_is_masked_in_upper_case_and_escaped(
    name: str, spell: Callable[[str], str]
) -> None:
    arguments = named_arguments(["José Álvarez"], {}, ["name"])
    masked = spell(name).replace(spell(name).strip("'\""), "J••• Á•••")
    assert mask_repeated(f"no row for {spell(name)}", arguments) == f"no row for {masked}"


def test_surplus_arguments_take_the_last_parameter_name() -> None:
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
def test_any_value_can_be_masked(value: Any, text: str) -> None:
    mask_value(value, "name")
    mask_argument(value, text)
    mask_repeated(text, [("", value), ("attributes", value)])
