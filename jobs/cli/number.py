"""Numbers on the command line."""

import math

import click


class Number(click.FloatRange):
    """A number within bounds. `nan` is in no range, but compares as if it were in each."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number
