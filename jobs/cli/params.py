"""Click parameter types: durations and finite numbers."""

import math
import re
from datetime import timedelta
from typing import Final

import click

SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST: Final = timedelta(days=36_500)


class Duration(click.ParamType[timedelta]):
    """A duration such as `90s`, `15m`, `4h` or `2d`; a bare number means seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration such as 90s, 15m, 4h or 2d", param, ctx)
        seconds = float(match[1]) * SECONDS[match[2]]
        if seconds > LONGEST.total_seconds():
            self.fail(f"{value!r} is longer than {LONGEST.days:,} days", param, ctx)
        return timedelta(seconds=seconds)


class Number(click.FloatRange):
    """A number within a range. Rejects `nan`, which passes every range check."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


DURATION: Final = Duration()
