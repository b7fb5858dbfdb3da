"""Masks of texts: no phone number and no email address survives, and the rest stays."""

import re
import time
from datetime import UTC, datetime, timedelta

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.rules.fictional import TOTAL, fictional_number
from jobs.rules.numbers import mask_email, mask_name, mask_phone, mask_text

FORMATS = (
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
)
words = st.text(st.characters(categories=["L", "Zs"]), max_size=12)


@st.composite
def phones(draw: st.DrawFn) -> str:
    number = phonenumbers.parse(fictional_number(draw(st.integers(0, TOTAL - 1))))
    text = phonenumbers.format_number(number, draw(st.sampled_from(FORMATS)))
    return draw(st.sampled_from([text, text.removeprefix("+"), text.replace("+", "%2B")]))


def digits(text: str) -> str:
    return "".join(re.findall("[0-9]", text))


@given(words, phones(), words)
def test_no_phone_number_survives(before: str, phone: str, after: str) -> None:
    masked = mask_text(f"{before} {phone}, {after}")
    assert phone not in masked
    assert len(digits(masked)) <= 4
    assert mask_text(masked) == masked


@given(words, st.emails(), words)
@example("", "/@A.AC", "")
@example("", "a{}'@a.ac", "")
def test_no_email_address_survives(before: str, address: str, after: str) -> None:
    local, _, domain = address.rpartition("@")
    masked = mask_text(f"{before} <{address}> {after}")
    assert address not in masked
    assert f"@{domain}" not in masked
    assert len(local) == 1 or not masked.startswith(f"{before} <{local}@")


@given(
    st.uuids(),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # Hypothesis adds the zone
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.integers(0, 99_999_999),
    st.ip_addresses(v=4),
)
def test_ids_times_and_counts_stay_unchanged(
    uuid: object, moment: datetime, length: timedelta, count: int, address: object
) -> None:
    for text in (
        f"job lead.qualify:{uuid} of {count} took {length.total_seconds()} s",
        f"{moment.isoformat()} {uuid}-{count} at {address}",
        f"{moment:%Y%m%dT%H%M%SZ} {moment.timestamp()} {moment.date()} {length}",
        f"{int(moment.timestamp() * 1000)}-0" if moment.year in range(2002, 2033) else "",
    ):
        assert mask_text(text) == text


@given(st.text())
@example("@u")
@example("p@@u")
@example("[@@u")
def test_masking_twice_changes_nothing(text: str) -> None:
    masked = mask_text(text)
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("dial +14155550123 now", "dial +1••••••••23 now"),
        ("number=4155550123", "number=41••••••23"),
        ("(415) 555-0123.", "(4••••••••••23."),
        ("415.555.0123", "41••••••••23"),
        ("1-415-555-0123", "1-••••••••••23"),
        ("020 7946 0123", "02•••••••••23"),
        ("00442079460123", "00••••••••••23"),
        ("442079460123", "44••••••••23"),
        ("To=%2B14155550123&x", "To=%2••••••••••23&x"),
        ("'ada@example.com'", "'a•••@•••.com'"),
        ("q=ada%40example.com&x", "q=a•••@•••.com&x"),
        ("postgresql://user:secret@host/db", "postgresql://•••@host/db"),
        ("at redis://:p/s?w@rd@host:1/0, lost", "at redis://•••@host:1/0, lost"),
        ("redis://h?db=1&password=secret", "redis://h?db=1&password=•••"),
        ("100%40", "100%40"),
        ("ada@a\x7fbob@b", "a•••@•••@b"),
        ("sha256 a4155550123b", "sha256 a4155550123b"),
        (
            "2000-01-01T00:00:00+00:00 09796518-6389-2e54-96fc-3307b9e747b6",
            "2000-01-01T00:00:00+00:00 09796518-6389-2e54-96fc-3307b9e747b6",
        ),
        ("at 10:30 020 7946 0123", "at 10:30 02•••••••••23"),
        ("line 12:02079460123", "line 12:02•••••••23"),
        (
            "DETAIL:  Key (tenant, e164)=(default, Ann) already exists.\n[SQL: x]",
            "DETAIL:  Key (tenant, e164)=(•••\n[SQL: x]",
        ),
        ("Failing row contains (1, Ann Example, null).", "Failing row contains (•••"),
        ("[parameters: ('Ann', 3)]", "[parameters: (•••"),
        (
            "invalid input for query argument $3: 'Ann' (bad)",
            "invalid input for query argument $3: •••",
        ),
        (
            'invalid input syntax for type integer: "Ann"',
            'invalid input syntax for type integer: "•••',
        ),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_text_is_masked_as_in_the_examples(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_single_values_are_masked_as_in_the_examples() -> None:
    assert mask_phone("+14155550123") == "+1••••••••23"
    assert mask_phone("123") == "•••"
    assert mask_email("ada@example.co.uk") == "a•••@•••.uk"
    assert mask_email("root@localhost") == "r•••@•••"
    assert mask_email("nonsense") == "•••@•••"
    assert mask_name("Ada  Lovelace") == "A••• L•••"
    assert mask_name("") == ""


@pytest.mark.parametrize(
    "part",
    [
        *("1", "1.", "a%4", "a@", "a.", "+1(", "0_", "2-", "a", "((", "%2B", "1-1."),
        *("://", "://a@", "?key", "&key=", "Key (a)=(", "Key (", "[parameters: ("),
    ],
)
def test_masking_takes_linear_time(part: str) -> None:
    """Quadratic time would be a minute here."""
    text = part.replace("_", " ") * 50_000
    started = time.process_time()
    mask_text(text)
    assert time.process_time() - started < 3
