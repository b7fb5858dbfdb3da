"""What is told of an error: texts that can always be made, written down, and shown.

An error's class may fail when it is asked for its text; that may hold what UTF-8 has no form for,
as names of files do, and be as long as the data that the error is about.
"""

import traceback
from collections.abc import Callable
from typing import Final

from jobs.privacy.fields import NamedValues, mask_repeated

MAX_MESSAGE_LENGTH: Final = 2000
"""Characters; the beginning is kept."""
MAX_TRACEBACK_LENGTH: Final = 8000
"""Characters; the end is kept, where the cause stands."""
MAX_SCANNED_LENGTH: Final = 20_000
"""Characters that are looked through for personal data: to mask megabytes would stop the worker. So
many more than are shown, as half a name at the cut is not known for one."""
_CUT: Final = "… (cut off)"


def escape_surrogates(text: str) -> str:
    """`text` with what UTF-8 has no form for escaped."""
    return text.encode(errors="backslashreplace").decode()


def error_message(error: BaseException) -> str:
    """What `str(error)` says."""
    return _made(lambda: str(error))


def mask_message(error: BaseException, arguments: NamedValues = ()) -> str:
    """The message, not too long, with personal data masked, that of the job's arguments too."""

    def masked() -> str:
        text = mask_repeated(str(error)[:MAX_SCANNED_LENGTH], arguments)
        return text if len(text) <= MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + _CUT

    return _made(masked)


def mask_traceback(error: BaseException, arguments: NamedValues = ()) -> str:
    """The traceback, not too long, masked likewise."""

    def masked() -> str:
        text = "".join(traceback.format_exception(error))
        return mask_repeated(text[-MAX_SCANNED_LENGTH:], arguments)[-MAX_TRACEBACK_LENGTH:]

    return _made(masked)


def _made(make: Callable[[], str]) -> str:
    try:
        return escape_surrogates(make())
    except Exception as broken:  # noqa: BLE001 - any class may have a broken text
        return f"(its text cannot be made: {type(broken).__name__})"
