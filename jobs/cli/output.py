"""Where the commands print tables and progress."""

import sys
from typing import Final

from rich.console import Console

NARROWEST: Final = 160
"""Columns of a table that goes into a file or a pipe, where nothing needs to be cut."""

CONSOLE: Final = Console(width=None if sys.stdout.isatty() else NARROWEST)
ERRORS: Final = Console(stderr=True)
