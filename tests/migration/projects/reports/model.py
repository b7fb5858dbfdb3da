"""Values that the jobs receive."""

from dataclasses import dataclass
from datetime import date
from enum import Enum


class Format(Enum):
    PDF = "pdf"
    CSV = "csv"


@dataclass(frozen=True)
class Period:
    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1
