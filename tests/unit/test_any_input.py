"""Every decoder of outside input reads it or rejects it in one line; none hangs."""

import asyncio
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.cli.commands.enqueue import keyword, value
from jobs.cli.params import DURATION
from jobs.clock import SystemClock, clock_from
from jobs.engine.connection.urls import Address
from jobs.engine.queue.dead_letter import DeadLetter
from jobs.engine.scheduling.cron import cron
from jobs.errors import UsageError, ValidationError
from jobs.lead.importing import import_leads
from jobs.privacy.masking import mask_url
from jobs.rules.policy import CampaignPolicy
from jobs.settings import Settings, SettingsError, load_settings
from jobs.store.memory import MemoryStore
from jobs.store.postgres.session import open_engine
from jobs.testing import FrozenClock
from jobs.voice import open_voice

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

few = settings(max_examples=60)
texts = st.text(max_size=40)
numbers = (
    st.floats().map(repr) | st.integers().map(str) | st.sampled_from(["nan", "1e400", "9" * 400])
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def rejected_in_one_line(*kinds: type[Exception]) -> Iterator[None]:
    """Accept errors of these kinds if their message is one line."""
    try:
        yield
    except kinds as error:
        text = str(error)
        assert text
        assert "\n" not in text


cron_fields = st.integers(-1, 70).map(str) | st.sampled_from(
    ["*", "*/5", "*/0", "L", "LW", "1W", "MON#2", "FRI", "jan", "1-5/2", "5-1", "2,30", "6#5", "0L"]
)


@few
@given(
    texts | st.lists(cron_fields, min_size=4, max_size=7).map(" ".join),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"]) | texts,
)
@example("0 0 30 2 *", "UTC")
@example("0 0 29 2 MON#5", "UTC")
def test_cron_expressions_are_read_or_rejected(expression: str, zone: str) -> None:
    with rejected_in_one_line(UsageError):
        schedule = cron("a.b", expression=expression, timezone=zone)
        assert schedule.next_fire_time(NEW_YEAR, UTC) > NEW_YEAR
        last = schedule.previous_fire_time(NEW_YEAR, UTC)
        assert last is None or last <= NEW_YEAR


cron_options = st.none() | st.integers(-1, 70) | st.sets(st.integers(-1, 70), max_size=3)


@few
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(["month", "day", "hour", "minute", "second"], cron_options),
            "weekday": cron_options | st.text(max_size=4),
        },
    )
)
@example({"day": 30, "month": 2})
@example({"weekday": ""})
@example({"second": set()})
@example({"weekday": 8, "day": 1})
def test_cron_fields_are_read_or_rejected(fields: dict[str, Any]) -> None:
    with rejected_in_one_line(UsageError):
        schedule = cron("a.b", **fields)
        assert schedule.next_fire_time(NEW_YEAR, UTC) > NEW_YEAR


moments = texts | st.datetimes(timezones=st.just(UTC)).map(str)


@given(texts | st.tuples(moments, numbers, numbers).map("@".join))
@example("2000-01-01T00:00:00+00:00@141@0")
@example("2026-01-01T00:00:00+00:00@inf@nan")
def test_clock_settings_are_read_or_rejected(text: str) -> None:
    with rejected_in_one_line(SettingsError):
        clock = clock_from(text)
        assert clock.ago(timedelta(minutes=1)) < clock.now()
        assert clock.real_delay(NEW_YEAR) >= timedelta()


schemes = st.sampled_from(
    ["redis://", "rediss://", "unix://", "redis+sentinel://", "postgresql://", "http://", ""]
)
url_tails = texts | st.text(":/@?#[]%&=ab1.,℀", max_size=30)
urls = st.tuples(schemes, url_tails).map("".join)


def _redis(url: str) -> None:
    address = Address.of(url)
    address.connections()
    address.arq_settings()


@given(urls)
@example("redis://[")
@example("redis://h?db=one")
def test_redis_urls_are_read_or_rejected(url: str) -> None:
    with rejected_in_one_line(UsageError):
        _redis(url)


@given(urls)
@example("0://::")
def test_database_urls_are_read_or_rejected(url: str) -> None:
    with rejected_in_one_line(UsageError):
        open_engine(url, pool_size=1)


def refusal(read: Callable[[str], object], url: str) -> str:
    try:
        read(url)
    except UsageError as error:
        return str(error)
    return ""


@given(schemes, st.text("/:?#@[]%℀", max_size=6), st.text("/:?#@[]%℀", max_size=6))
def test_errors_show_no_password(scheme: str, before: str, after: str) -> None:
    url = f"{scheme}user:{before}hunter2{after}@host:1/0?password=hunter2"
    messages = refusal(_redis, url) + refusal(partial(open_engine, pool_size=1), url)
    assert "hunter2" not in messages
    assert "hunter2" not in mask_url(url)


voice_options = st.lists(
    st.tuples(st.sampled_from(["seed", "no_answer", "late", "recorded", "spacing", "x"]), numbers),
    max_size=3,
).map(lambda pairs: "&".join("=".join(pair) for pair in pairs))


@few
@given(
    st.tuples(
        st.sampled_from(["simulator:", "simulator:?", "simulator+unix:/", "twilio:", ""]),
        texts | voice_options,
    ).map("".join)
)
def test_voice_urls_are_read_or_rejected(url: str) -> None:
    async def nowhere(_: object) -> None: ...

    async def open_url() -> None:
        with rejected_in_one_line(UsageError):
            voice = await open_voice(url, clock=SystemClock(), sink=nowhere)
            await voice.close()

    asyncio.run(open_url())


@given(json_values)
def test_campaign_policies_are_read_or_rejected(data: object) -> None:
    with suppress(pydantic.ValidationError):
        CampaignPolicy.model_validate_json(json.dumps(data))


@given(texts | json_values.map(json.dumps) | st.integers(1, 3000).map("[".__mul__))
def test_command_line_arguments_are_read_or_rejected(text: str) -> None:
    value(text)
    with rejected_in_one_line(UsageError):
        keyword(text)


@given(texts | st.tuples(numbers, st.sampled_from("smhd")).map("".join))
@example("1000000000d")
def test_durations_are_read_or_rejected(text: str) -> None:
    with rejected_in_one_line(click.ClickException):
        assert timedelta() <= DURATION.convert(text, None, None)


@contextmanager
def environment(name: str, text: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, text)
        yield


@few
@given(
    st.sampled_from([name.upper() for name in Settings.model_fields]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
    | numbers
    | json_values.map(json.dumps),
)
@example("TASK_DOMAINS", "00")
def test_setting_values_are_read_or_rejected(name: str, text: str) -> None:
    with environment(name, text), rejected_in_one_line(SettingsError):
        load_settings(_env_file=None)


@few
@given(
    st.binary(max_size=60) | texts.map(lambda text: f"TASK_LEASE={text}".encode(errors="replace"))
)
@example(b"\x80")
def test_settings_files_are_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{os.getpid()}.env"
    path.write_bytes(data)
    with rejected_in_one_line(SettingsError):
        load_settings(_env_file=path)


payloads = st.binary(max_size=40) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["t", "f", "a", "k", "et"], json_values)
).map(lambda payload: json.dumps(payload).encode())


@given(payloads)
@example(b'{"a": [], "k": null}')
@example(b"\x80\x04K\x01.")
def test_any_dead_letter_payload_can_be_shown(payload: bytes) -> None:
    letter = DeadLetter(
        job_id="job-1",
        function="lead.update",
        queue="lead_tasks",
        payload=payload,
        error_class="ValueError",
        message="",
        traceback="",
        tries=1,
        enqueued_at=NEW_YEAR,
        failed_at=NEW_YEAR,
        fingerprint="",
    )
    assert DeadLetter.model_validate_json(letter.encode()) == letter
    letter.shown_arguments()


cells = texts | st.sampled_from(
    ["+12125550101", "US", "Europe/Berlin", "a@b.com", "a;b", "\0", '"', "\r", "1e999", "9" * 40]
)
headings = st.sampled_from(["phone", "name", "email", "timezone", "zip", "country", "tags"]) | texts


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    rows = [draw(st.lists(headings, min_size=1, max_size=5))]
    rows += draw(st.lists(st.lists(cells, max_size=5), max_size=4))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "latin-1"]))
    return "\n".join(map(delimiter.join, rows)).encode(encoding, errors="replace")


@few
@given(
    tables()
    | tables().map(gzip.compress)
    | tables().map(lambda table: gzip.compress(table)[:-9])
    | st.binary(max_size=200).map(b"phone,name,email\n".__add__)
)
def test_lead_files_are_imported_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{os.getpid()}.csv"
    path.write_bytes(data)

    async def import_file(path: Path) -> None:
        clock = FrozenClock(NEW_YEAR)
        store = MemoryStore(clock=clock, publish=_published)
        with rejected_in_one_line(ValidationError):
            report = await import_leads(store, clock, path)
            assert report.read == report.added + report.duplicates + report.rejected

    asyncio.run(import_file(path))


async def _published(jobs: object, /) -> None: ...


def test_huge_cell_breaks_only_its_row(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    path.write_text("phone,name\n+12125550101," + "x" * 3_000_000 + "\n+12125550102,Ann\n")

    async def import_file() -> int:
        clock = FrozenClock(NEW_YEAR)
        store = MemoryStore(clock=clock, publish=_published)
        return (await import_leads(store, clock, path)).added

    assert asyncio.run(import_file()) == 1
