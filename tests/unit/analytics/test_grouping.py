"""Grouping keeps a column readable and counts every lead once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.analytics.grouping import MAX_GROUPS, group_values
from jobs.analytics.model import Value


def value(text: str, leads: int = 1) -> Value:
    return Value(value=text, leads=leads, attempts=2 * leads, conversions=leads // 2, seconds=leads)


def labels(*values: Value) -> list[str]:
    return [group.label for group in group_values(values)]


def test_few_texts_stay_single_with_the_largest_first() -> None:
    assert labels(value("a", 1), value("b", 3), value("c", 2)) == ["b", "c", "a"]


def test_few_numbers_stay_single_in_order() -> None:
    assert labels(value("10", 1), value("9", 3), value("-1", 2)) == ["-1", "9", "10"]


def test_many_texts_become_the_largest_and_a_rest() -> None:
    groups = group_values([value(f"v{i}", i + 1) for i in range(30)])
    assert len(groups) == MAX_GROUPS
    assert groups[0].label == "v29"
    assert groups[-1].label == "19 others"
    assert groups[-1].leads == sum(range(1, 20))


def test_many_numbers_become_ranges_with_equal_leads() -> None:
    groups = group_values([value(str(i), 10) for i in range(120)])
    assert groups[0].label == "0 to 9"
    assert [group.leads for group in groups] == [100] * MAX_GROUPS


def test_dominant_number_does_not_shrink_the_other_ranges() -> None:
    groups = group_values([value("-1", 10_000), *(value(str(i)) for i in range(220))])
    assert groups[0].label == "-1"
    assert [group.leads for group in groups[1:]] == [20] * 11


def test_leads_without_a_value_come_last() -> None:
    assert labels(value("", 9), value("3"), value("20")) == ["3", "20", ""]


@pytest.mark.parametrize("text", ["nan", "inf", "1_0"])
def test_unusual_numbers_lose_no_lead(text: str) -> None:
    assert (
        sum(g.leads for g in group_values([value(text), *(value(str(i)) for i in range(20))])) == 21
    )


@given(
    st.dictionaries(
        st.one_of(st.text(max_size=4), st.integers().map(str)), st.integers(0, 50), max_size=60
    )
)
def test_every_lead_is_counted_once(sizes: dict[str, int]) -> None:
    groups = group_values([value(text, leads) for text, leads in sizes.items()])
    assert sum(group.leads for group in groups) == sum(sizes.values())
    assert sum(group.attempts for group in groups) == 2 * sum(sizes.values())
    assert len(groups) <= MAX_GROUPS + 1
