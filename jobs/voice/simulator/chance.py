"""Seeded randomness: the same seed gives the same numbers in every process and in any order."""

from random import Random


def chance(*parts: object) -> Random:
    """Return a random number generator that depends on `parts` only."""
    return Random("|".join(map(str, parts)))  # noqa: S311  # repeatable by design, guards nothing
