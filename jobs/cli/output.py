"""Consoles for tables and progress bars, and escaping of control characters."""

import re
import sys
from typing import Final

from rich.console import Console

PIPE_WIDTH: Final = 160
"""Columns of a table written to a file or a pipe, wide enough that no cell is cut."""

CONSOLE: Final = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
ERRORS: Final = Console(stderr=True)

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Unicode's control characters, except tab and newline."""


def printable(text: str) -> str:
    r"""Escape control characters, so that foreign text cannot control the terminal.

    Args:
        text: Text from outside, such as an argument or an error message.

    Returns:
        The text with each control character written as in `\x1b[2J`. Tabs and newlines stay.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
