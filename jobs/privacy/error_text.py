"""Texts of errors: never fail, always encode as UTF-8, bounded in length, masked.

`str(error)` is none of these: it may raise, hold lone surrogates (as file names do), and quote
megabytes of the data that the error is about.
"""

import traceback
from collections.abc import Callable
from typing import Final

from jobs.privacy.fields import NamedValues, mask_repeated

MAX_MESSAGE_LENGTH: Final = 2000
"""Characters; a longer message keeps its beginning."""
MAX_TRACEBACK_LENGTH: Final = 8000
"""Characters; a longer traceback keeps its end, which names the cause."""
MAX_SCANNED_LENGTH: Final = 20_000
"""Characters searched for personal data: masking megabytes would stop the worker. More than the
lengths shown, since half a name at the cut would not be recognized."""
_CUT: Final = "… (cut off)"


def escape_surrogates(text: str) -> str:
    """Return the text with characters that UTF-8 cannot encode escaped."""
    return text.encode(errors="backslashreplace").decode()


def error_message(error: BaseException) -> str:
    """Return `str(error)`, unmasked, or a note if it raises."""
    return _safe_text(lambda: _text_of(error))


def mask_message(error: BaseException, arguments: NamedValues = ()) -> str:
    """Return the message of an error, masked.

    Args:
        error: Any error; `str(error)` may raise.
        arguments: The job's arguments; personal data that the message repeats is masked.

    Returns:
        At most MAX_MESSAGE_LENGTH characters, and a note if the message was cut off.
    """

    def masked_message() -> str:
        text = mask_repeated(_text_of(error)[:MAX_SCANNED_LENGTH], arguments)
        return text if len(text) <= MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + _CUT

    return _safe_text(masked_message)


def mask_traceback(error: BaseException, arguments: NamedValues = ()) -> str:
    """Return the traceback of an error, masked.

    Args:
        error: Any error; `str(error)` may raise.
        arguments: The job's arguments; personal data that the traceback repeats is masked.

    Returns:
        The last MAX_TRACEBACK_LENGTH characters at most.
    """

    def masked_traceback() -> str:
        text = "".join(traceback.format_exception(error))
        return mask_repeated(text[-MAX_SCANNED_LENGTH:], arguments)[-MAX_TRACEBACK_LENGTH:]

    return _safe_text(masked_traceback)


def _text_of(error: BaseException) -> str:
    """Return the text of an error; that of a group names its members."""
    if not isinstance(error, BaseExceptionGroup):
        return str(error)
    members = "; ".join(
        f"{type(member).__name__}: {error_message(member)}" for member in error.exceptions
    )
    return f"{error.message}: {members}"


def _safe_text(make_text: Callable[[], str]) -> str:
    try:
        return escape_surrogates(make_text())
    except Exception as broken:  # noqa: BLE001 - any class may have a broken text
        return f"(error text unavailable: {type(broken).__name__})"
