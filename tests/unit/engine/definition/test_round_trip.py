"""Arguments arrive equal, or are refused when they are sent."""

import enum
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, Field

from jobs.engine.definition.job import JobDefinition
from jobs.engine.definition.retry import NO_RETRY
from jobs.engine.definition.round_trip import equal, require_round_trip
from jobs.engine.queue.serializer import deserialize, serialize
from jobs.errors import ValidationError


class Aliased(BaseModel):
    lead_id: int = Field(default=0, serialization_alias="leadId")
    score: int = Field(default=0, validation_alias=AliasChoices("points", "score_points"))
    hidden: int = Field(default=0, exclude=True)
    plain: str = ""


class Shape(enum.Enum):
    SQUARE = (1, 2)


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Sized:
    width: int
    scale: InitVar[int] = 1
    area: int = field(init=False, default=0)

    def __post_init__(self, scale: int) -> None:
        self.area = self.width * scale


@dataclass(frozen=True)
class Point:
    x: float
    at: datetime | None = None
    tags: frozenset[str] = frozenset()


def definition(annotation: Any) -> JobDefinition:
    async def body(ctx: dict[str, Any], value: Any) -> None: ...

    body.__annotations__["value"] = annotation
    return JobDefinition(
        name="tests.round_trip",
        body=body,
        policy=NO_RETRY,
        timeout=None,
        queue=None,
        keep_result=None,
        aliases=(),
        dead_letter=True,
    )


def arrived(annotation: Any, value: Any) -> Any:
    """Return what the job receives."""
    args, kwargs = deserialize(serialize(([value], {})))
    return definition(annotation).check(args, kwargs)[0][0]


models = st.builds(
    Aliased,
    lead_id=st.integers(-(2**31), 2**31),
    points=st.integers(0, 9),
    hidden=st.integers(0, 9),
    plain=st.text(st.characters(codec="utf-8"), max_size=5),
)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
points = st.builds(
    Point,
    x=st.floats(),
    at=st.none() | st.datetimes(timezones=zones, min_value=datetime(1900, 1, 1)),  # noqa: DTZ001
    tags=st.frozensets(st.sampled_from("abc")),
)
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Aliased, models),
    (list[Aliased], st.lists(models, max_size=3)),
    (dict[str, Aliased | None], st.dictionaries(st.sampled_from("ab"), st.none() | models)),
    (Point, points),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Decimal, st.decimals(allow_nan=True, allow_infinity=False)),
    (float, st.floats(allow_infinity=False)),
    (UUID | int, st.uuids() | st.integers(-(2**63), 2**63 - 1)),
    (time, st.times(timezones=st.none() | zones)),
    (date, st.dates()),
    (timedelta, st.timedeltas(timedelta(-999), timedelta(999))),
    (bytes, st.binary(max_size=20)),
    (tuple[int, str], st.tuples(st.integers(0, 9), st.sampled_from("ab"))),
    (set[int], st.sets(st.integers(0, 9))),
    (dict[int, str], st.dictionaries(st.integers(0, 9), st.sampled_from("ab"))),
    (Any, st.recursive(st.none() | st.booleans() | st.integers(0, 9), st.lists, max_leaves=5)),
]


@given(data=st.data())
@pytest.mark.parametrize(("annotation", "values"), CASES, ids=[str(case[0]) for case in CASES])
def test_argument_arrives_equal_or_is_refused(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    try:
        require_round_trip(definition(annotation), [value], {})
    except (ValidationError, TypeError):
        return
    assert equal(arrived(annotation, value), definition(annotation).check([value], {})[0][0])


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Aliased, Aliased(lead_id=3)),
        (Aliased, Aliased(points=3)),
        (Aliased, Aliased(hidden=3)),
        (Point, Point(1.5, datetime(2026, 3, 1, tzinfo=UTC), frozenset("ab"))),
        (dict[int, str], {1: "a"}),
        (tuple[int, ...], (1, 2)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
def test_argument_arrives_equal(annotation: Any, value: Any) -> None:
    require_round_trip(definition(annotation), [value], {})
    assert equal(arrived(annotation, value), value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Shape, Shape.SQUARE),
        (Sized, Sized(2, scale=3)),
        (Any, (1, 2)),
        (Any, {1: "a", "1": "b"}),
        (Any, {1, 2}),
        (float, float("nan")),
        (float, float("inf")),
        (Decimal, Decimal("NaN")),
        (time, time(12, tzinfo=ZoneInfo("Europe/Berlin"))),
        (time, time(12, tzinfo=UTC)),
        (int, "not a number"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
def test_argument_that_would_arrive_changed_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises((ValidationError, TypeError)) as raised:
        require_round_trip(definition(annotation), [value], {})
    assert str(value) not in str(raised.value)
