"""Spans of time on the command line: `90s`, `15m`, `4h`, `2d`."""

import re
from datetime import timedelta
from typing import Final

import click

UNITS: Final = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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
        return timedelta(**{UNITS[match[2]]: float(match[1])})


DURATION: Final = Duration()
