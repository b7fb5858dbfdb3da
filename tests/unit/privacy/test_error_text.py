"""Error texts: always available, encodable and bounded in length."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.engine.monitoring.outcome_log import masked_error
from jobs.privacy.error_text import (
    MAX_MESSAGE_LENGTH,
    MAX_TRACEBACK_LENGTH,
    error_message,
    mask_message,
    mask_traceback,
)

TextOf = Callable[[BaseException], str]
each_text = pytest.mark.parametrize(
    "text_of", [error_message, mask_message, mask_traceback, masked_error]
)


class TextlessError(Exception):
    def __str__(self) -> str:
        raise AttributeError("message")


@each_text
@pytest.mark.parametrize("error", [TextlessError(), ExceptionGroup("two", [TextlessError()])])
def test_error_without_text_gets_one(text_of: TextOf, error: Exception) -> None:
    assert text_of(error)


@each_text
@given(message=st.text(st.characters()))
def test_any_message_becomes_encodable(text_of: TextOf, message: str) -> None:
    text_of(ValueError(message)).encode()


@given(message=st.text())
def test_encodable_message_stays_unchanged(message: str) -> None:
    assert error_message(ValueError(message)) == message


@pytest.mark.parametrize("text_of", [mask_message, mask_traceback, masked_error])
def test_stored_and_logged_texts_are_bounded(text_of: TextOf) -> None:
    text = text_of(ValueError("x" * 5_000_000))

    assert len(text) <= max(MAX_MESSAGE_LENGTH + 100, MAX_TRACEBACK_LENGTH)
