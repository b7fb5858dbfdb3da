"""What is told of an error: texts that can always be made, written down, and shown.

An error's class may fail when it is asked for its text; that may hold what UTF-8 has no form for,
as names of files do, and be as long as the data that the error is about.
"""

import traceback
from collections.abc import Callable
from typing import Final

from jobs.privacy.fields import Named, mask_repeated

LONGEST_MESSAGE: Final = 2000
"""Characters; the beginning is kept."""
LONGEST_TRACEBACK: Final = 8000
"""Characters; the end is kept, where the cause stands."""
LONGEST_READ: Final = 20_000
"""Characters that are looked through for personal data: to mask megabytes would stop the worker. So
many more than are shown, as half a name at the cut is not known for one."""
_CUT: Final = "… (cut off)"


def encodable(text: str) -> str:
    """`text` with what UTF-8 has no form for escaped."""
    return text.encode(errors="backslashreplace").decode()


def message_of(error: BaseException) -> str:
    """What `str(error)` says."""
    return _made(lambda: str(error))


def masked_message(error: BaseException, arguments: Named = ()) -> str:
    """The message, not too long, with personal data masked, that of the job's arguments too."""

    def masked() -> str:
        text = mask_repeated(str(error)[:LONGEST_READ], arguments)
        return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + _CUT

    return _made(masked)


def masked_traceback(error: BaseException, arguments: Named = ()) -> str:
    """The traceback, not too long, masked likewise."""

    def masked() -> str:
        text = "".join(traceback.format_exception(error))
        return mask_repeated(text[-LONGEST_READ:], arguments)[-LONGEST_TRACEBACK:]

    return _made(masked)


def _made(make: Callable[[], str]) -> str:
    try:
        return encodable(make())
    except Exception as broken:  # noqa: BLE001 - any class may have a broken text
        return f"(its text cannot be made: {type(broken).__name__})"
