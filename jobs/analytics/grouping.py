"""A column's values made few enough to be looked at: ranges of numbers, or the largest values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from jobs.analytics.model import Value

MOST_GROUPS: Final = 12


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one or more values of a column."""

    label: str
    leads: int
    attempts: int
    conversions: int
    seconds: int


def grouped(values: Sequence[Value]) -> list[Group]:
    """A dozen groups at most, and one for the leads that have no value.

    Few values are shown as they are, the largest first; many numbers become ranges of about as
    many leads each, in order; of many texts the largest are shown, the rest summed up in one.
    """
    return _grouped([v for v in values if v.value]) + _singles([v for v in values if not v.value])


def _grouped(values: Sequence[Value]) -> list[Group]:
    numbers = _numbers(values)
    if numbers is not None:
        in_order = [value for _, value in sorted(zip(numbers, values, strict=True), key=_first)]
        return _singles(in_order) if len(values) <= MOST_GROUPS else _ranges(in_order)
    by_size = sorted(values, key=lambda value: (-value.leads, value.value))
    if len(by_size) <= MOST_GROUPS:
        return _singles(by_size)
    rest = by_size[MOST_GROUPS - 1 :]
    return [*_singles(by_size[: MOST_GROUPS - 1]), _group(f"{len(rest):,} others", rest)]


def _first(pair: tuple[float, Value]) -> float:
    return pair[0]


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
        # The share is of what is left, so that one value with most of the leads does not make
        # all other ranges tiny.
        if len(groups) < MOST_GROUPS - 1 and leads * (MOST_GROUPS - len(groups)) >= rest:
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
