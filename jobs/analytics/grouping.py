"""Values of a column in a few groups: ranges of numbers, or the most frequent values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter
from typing import Final

from jobs.analytics.model import Value

MAX_GROUPS: Final = 12
"""Groups per column, not counting leads without a value."""


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of one or more values of a column.

    Attributes:
        label: The value, a range ("10 to 19"), or the rest ("19 others").
        leads: Leads in the group.
        attempts: Calls placed to these leads.
        conversions: Calls to these leads that converted.
        seconds: Seconds of conversation with these leads.
    """

    label: str
    leads: int
    attempts: int
    conversions: int
    seconds: int


def group_values(values: Sequence[Value]) -> list[Group]:
    """Group the values of a column.

    Up to MAX_GROUPS values stay single: numbers in order, texts by leads. More numbers become
    ranges with about as many leads each. Of more texts, the largest stay and the rest is one group.

    Args:
        values: Values of the column.

    Returns:
        At most MAX_GROUPS groups, and a last one for leads without a value.
    """
    present = [value for value in values if value.value]
    missing = [value for value in values if not value.value]
    return _group_present(present) + _singles(missing)


def _group_present(values: Sequence[Value]) -> list[Group]:
    numbers = _numbers(values)
    if numbers is not None:
        pairs = sorted(zip(numbers, values, strict=True), key=itemgetter(0))
        in_order = [value for _, value in pairs]
        return _singles(in_order) if len(values) <= MAX_GROUPS else _ranges(in_order)
    by_size = sorted(values, key=lambda value: (-value.leads, value.value))
    if len(by_size) <= MAX_GROUPS:
        return _singles(by_size)
    rest = by_size[MAX_GROUPS - 1 :]
    return [*_singles(by_size[: MAX_GROUPS - 1]), _group(f"{len(rest):,} others", rest)]


def _numbers(values: Sequence[Value]) -> list[float] | None:
    try:
        numbers = [float(value.value) for value in values]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _singles(values: Sequence[Value]) -> list[Group]:
    return [_group(value.value, [value]) for value in values]


def _ranges(values: Sequence[Value]) -> list[Group]:
    groups: list[Group] = []
    members: list[Value] = []
    leads, rest = 0, sum(value.leads for value in values)
    for value in values:
        members.append(value)
        leads += value.leads
        # The share is that of the leads left, so that one dominant value does not leave tiny
        # ranges for the others.
        if len(groups) < MAX_GROUPS - 1 and leads * (MAX_GROUPS - len(groups)) >= rest:
            groups.append(_range(members))
            members, leads, rest = [], 0, rest - leads
    return [*groups, _range(members)] if members else groups


def _range(members: Sequence[Value]) -> Group:
    first, last = members[0].value, members[-1].value
    return _group(first if first == last else f"{first} to {last}", members)


def _group(label: str, members: Sequence[Value]) -> Group:
    return Group(
        label=label,
        leads=sum(value.leads for value in members),
        attempts=sum(value.attempts for value in members),
        conversions=sum(value.conversions for value in members),
        seconds=sum(value.seconds for value in members),
    )
