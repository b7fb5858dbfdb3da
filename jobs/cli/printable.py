"""Text from elsewhere, which must not steer the terminal that it is shown on."""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""The control characters of Unicode, but for tab and newline."""


def printable(text: str) -> str:
    r"""`text` with its control characters shown, as in `\x1b[2J`; lines stay lines."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
