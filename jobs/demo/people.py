"""Synthetic leads: a CSV file as a customer might send it, with duplicates and broken rows.

Phone numbers are from ranges reserved for fiction. Email addresses end in example.com, which is
reserved (RFC 2606). Names are random combinations.
"""

import csv
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from jobs.errors import UsageError
from jobs.rules.area_codes import REGION_OF_AREA_CODE
from jobs.rules.fictional import TOTAL, fictional_number

_FIRST_NAMES: Final = (
    "Ada Alan Anna Ben Carla Chen Clara David Dora Elena Emil Erik Fatima Felix Grace Hana Hugo "
    "Ida Ines Ivan Jonas Julia Kofi Lara Leo Lina Luca Maja Marco Mei Mina Nadia Nils Nora Omar "
    "Otto Paula Pia Ravi Rosa Sam Sara Sofia Theo Tom Uma Vera Victor Yara Zoe"
)
_LAST_NAMES: Final = (
    "Adler Alvarez Baker Bauer Becker Brandt Brown Castro Clark Cohen Costa Diaz Evans Fischer "
    "Foster Garcia Gomez Gray Hall Hansen Hayes Hoffmann Ito Jensen Jones Kaya Keller Khan Klein "
    "Kumar Larsen Lopez Martin Meyer Moore Morel Novak Okafor Olsen Park Patel Perez Petrov Quinn "
    "Reyes Rossi Santos Schmidt Silva Singh Sousa Stein Suzuki Tanaka Torres Vogel Wagner Walker "
    "Weber Wong Young Zhang"
)
FIRST: Final = _FIRST_NAMES.split()
LAST: Final = _LAST_NAMES.split()
HEADER: Final = ("phone", "name", "email", "job", "consent", "demo_requested", "visits", "age")
TITLES: Final = ("management", "technician", "services", "admin", "student", "retired")
FAR_WEST: Final = frozenset({"US-AK", "US-HI", "US-GU", "US-MP"})
"""Regions left out: the run would wait for their calling window to open."""
LEADS_PER_FAULT: Final = 50
"""Leads per duplicate row, and per broken row."""


@dataclass(frozen=True, slots=True)
class LeadFile:
    """A written lead file.

    Attributes:
        rows: Rows without the header.
        usable: Distinct phone numbers in valid rows.
    """

    rows: int
    usable: int


def write_leads(path: Path, count: int, seed: int) -> LeadFile:
    """Write a lead file with some duplicate and some broken rows.

    The same seed gives the same file.

    Args:
        path: File to write.
        count: Number of usable leads.
        seed: Seed of the random names, values and faults.

    Returns:
        The counts of the file.

    Raises:
        UsageError: There are fewer than `count` fictional phone numbers.
    """
    random = Random(seed)  # noqa: S311  # repeatable by design
    people = [_person(number, random) for number in _numbers(count)]
    faults = max(1, count // LEADS_PER_FAULT)
    repeated = [_reformatted(random.choice(people)) for _ in range(faults)]
    broken = [_broken(random) for _ in range(faults)]
    rows = [*people, *repeated, *broken]
    random.shuffle(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return LeadFile(len(rows), count)


def _numbers(count: int) -> list[str]:
    nearby = (
        number
        for number in map(fictional_number, range(TOTAL))
        if REGION_OF_AREA_CODE.get(number[2:5]) not in FAR_WEST
    )
    numbers = list(islice(nearby, count))
    if len(numbers) < count:
        raise UsageError(f"{count:,} leads are too many: the maximum is {len(numbers):,}")
    return numbers


def _person(number: str, random: Random) -> tuple[str, ...]:
    first, last = random.choice(FIRST), random.choice(LAST)
    email = f"{first}.{last}{random.randrange(1000)}@example.com".lower()
    return (
        number,
        f"{first} {last}",
        email if random.random() < 0.8 else "",
        random.choice(TITLES),
        random.choice(("yes", "no")),
        random.choice(("yes", "no", "no")),
        str(min(40, int(random.expovariate(0.3)))),
        str(random.randint(18, 90)),
    )


def _reformatted(person: tuple[str, ...]) -> tuple[str, ...]:
    """Return the person with the phone number in another notation."""
    number, *rest = person
    spelled = f"{number[:2]} ({number[2:5]}) {number[5:8]}-{number[8:]}"
    return (spelled if number.startswith("+1") else f" {number} ", *rest)


def _broken(random: Random) -> tuple[str, ...]:
    """Return a row that cannot become a lead."""
    _, *rest = _person("", random)
    match random.randrange(4):
        case 0:
            return ("", *rest)
        case 1:
            return ("unknown", *rest)
        case 2:
            return ("+1 555 01", *rest)
        case _:
            return ("+1 202 555 0123", rest[0], "not an address", *rest[2:])
