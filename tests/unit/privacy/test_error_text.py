"""Texts of errors: there are always some, that can be written down, and none is too long."""

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

Text = Callable[[BaseException], str]
texts = pytest.mark.parametrize("text", [error_message, mask_message, mask_traceback, masked_error])


class MuteError(Exception):
    def __str__(self) -> str:
        raise AttributeError("message")


@texts
@pytest.mark.parametrize("error", [MuteError(), ExceptionGroup("two", [MuteError()])])
def test_there_is_a_text_though_the_error_has_none(text: Text, error: Exception) -> None:
    assert text(error)


@texts
@given(said=st.text(st.characters()))
def test_whatever_an_error_says_can_be_written_down(text: Text, said: str) -> None:
    text(ValueError(said)).encode()


@given(said=st.text())
def test_what_can_be_written_down_stays_as_it_is(said: str) -> None:
    assert error_message(ValueError(said)) == said


@pytest.mark.parametrize("text", [mask_message, mask_traceback, masked_error])
def test_what_is_kept_and_logged_is_not_too_long(text: Text) -> None:
    assert len(text(ValueError("x" * 5_000_000))) <= max(
        MAX_MESSAGE_LENGTH + 100, MAX_TRACEBACK_LENGTH
    )
