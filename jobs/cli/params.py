"""Spans of time on the command line: `90s`, `15m`, `4h`, `2d`."""

import re
from datetime import timedelta
from typing import Final

import click

SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST: Final = timedelta(days=36_500)


class Duration(click.ParamType[timedelta]):
    """A number with one of the units s, m, h, d; seconds when there is none."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a span of time such as 90s, 15m, 4h or 2d", param, ctx)
        seconds = float(match[1]) * SECONDS[match[2]]
        if seconds > LONGEST.total_seconds():
            self.fail(f"{value!r} is longer than {LONGEST.days:,} days", param, ctx)
        return timedelta(seconds=seconds)


DURATION: Final = Duration()
