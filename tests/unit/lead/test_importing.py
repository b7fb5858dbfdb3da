"""Import: good rows become leads once, the others are rejected, and the counts add up."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ValidationError
from jobs.lead.columns import attribute
from jobs.lead.importing import ImportReport, import_leads
from jobs.rules.fictional import fictional_number
from jobs.store.memory import MemoryStore
from jobs.store.model import Lead, LeadFilter
from jobs.testing.clock import FrozenClock

CLOCK = FrozenClock(datetime(2026, 3, 4, 12, tzinfo=UTC))
NUMBER = "+12125550101"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=CLOCK)


async def run(store: MemoryStore, folder: Path, data: str | bytes, **options: Any) -> ImportReport:
    path = folder / "leads.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return await import_leads(store, CLOCK, path, **options)


async def leads_of(store: MemoryStore, tenant: str = "default") -> list[Lead]:
    async with store.begin() as work:
        return await work.leads.get_many(await work.leads.ids(LeadFilter(tenant=tenant)))


async def tags_of(store: MemoryStore, lead: Lead) -> set[str]:
    async with store.begin() as work:
        return {tag.name for tag in (await work.leads.tags([lead.id]))[lead.id]}


def rejects_of(report: ImportReport) -> list[Mapping[str, str]]:
    assert report.rejects_path is not None
    with report.rejects_path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_columns_are_mapped_to_fields_and_attributes(
    store: MemoryStore, tmp_path: Path
) -> None:
    report = await run(
        store,
        tmp_path,
        "First Name;Last_name;PHONE;E-Mail;Time Zone;State;ZIP;Country;Tags;job;age;ok;code;\n"
        "Ann;Lee;(212) 555-0101;Ann@Example.ORG;america/new_york;NY;10001;US;VIP, new|vip;"
        "clerk;41;true;007;x\n",
    )
    assert report == ImportReport(read=1, added=1, duplicates=0, rejected=0, rejects_path=None)
    (lead,) = await leads_of(store)
    assert (lead.e164, lead.name, lead.email) == (NUMBER, "Ann Lee", "ann@example.org")
    assert (lead.timezone, lead.state, lead.postal_code) == ("America/New_York", "NY", "10001")
    assert lead.source == "leads.csv"
    assert lead.attributes == {
        "Country": "US",
        "job": "clerk",
        "age": 41,
        "ok": True,
        "code": "007",
    }
    assert await tags_of(store, lead) == {"VIP", "new"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1.5e3", 1500.0),
        ("TRUE", True),
        ("false", False),
        ("yes", "yes"),
        ("007", "007"),
        ("+1", "+1"),
        ("1e999", "1e999"),
        ("nan", "nan"),
        ("1_000", "1_000"),
        ("\u0661", "\u0661"),
        ("123456789012345678901", "123456789012345678901"),
    ],
)
def test_cell_becomes_a_number_boolean_or_text(text: str, value: object) -> None:
    result = attribute(text)
    assert result == value
    assert type(result) is type(value)


async def test_second_import_adds_nothing(store: MemoryStore, tmp_path: Path) -> None:
    rows = "".join(f"{fictional_number(i)},a\n" for i in range(2500))
    first = await run(store, tmp_path, "phone,tags\n" + rows)
    again = await run(store, tmp_path, "phone,tags\n" + rows)
    assert (first.added, first.duplicates) == (2500, 0)
    assert (again.added, again.duplicates) == (0, 2500)
    assert len(await leads_of(store)) == 2500


async def test_number_in_two_notations_is_one_lead(store: MemoryStore, tmp_path: Path) -> None:
    report = await run(
        store, tmp_path, "phone,name\n+1 212 555 0101,Ann\n(212) 555-0101,Bob\n2125550102,Cid\n"
    )
    assert (report.read, report.added, report.duplicates) == (3, 2, 1)
    assert {lead.name for lead in await leads_of(store)} == {"Ann", "Cid"}


async def test_same_number_of_two_tenants_is_two_leads(store: MemoryStore, tmp_path: Path) -> None:
    for tenant in ("one", "two"):
        assert (await run(store, tmp_path, f"phone\n{NUMBER}\n", tenant=tenant)).added == 1


async def test_broken_rows_are_rejected_and_the_others_imported(
    store: MemoryStore, tmp_path: Path
) -> None:
    report = await run(
        store,
        tmp_path,
        b"phone,email,timezone,country,tags\n"
        b"+12125550101,,,,\n"
        b"12,,,,\n"
        b"+12125550102,nobody,,,\n"
        b"+12125550103,,Mars/Olympus,,\n"
        b"+12125550104,a@example.org\n"
        b"+12125550105,\xff@example.org,,,\n"
        b"212 555 0106,,,Utopia,\n"
        b"+12125550107,,,Utopia,\n" + b"+12125550108,,,," + b"x" * 101 + b"\n"
        b"+12125550109,\0,,,\n"
        b'"+12125550110,,,,\n'
        b"+12125550111,,,,\n",
    )
    assert (report.read, report.added, report.rejected) == (12, 3, 9)
    rejects = rejects_of(report)
    assert [(row["line"], row["column"]) for row in rejects] == [
        ("3", "phone"),
        ("4", "email"),
        ("5", "timezone"),
        ("6", ""),
        ("7", "email"),
        ("8", "country"),
        ("10", "tags"),
        ("11", "email"),
        ("12", ""),
    ]
    assert all(row["reason"] for row in rejects)
    assert (rejects[0]["value"], rejects[4]["value"]) == ("12", r"\xff@example.org")


async def test_rejects_file_is_readable_by_its_owner_only(
    store: MemoryStore, tmp_path: Path
) -> None:
    report = await run(store, tmp_path, "phone\n12\n", rejects=tmp_path / "bad.csv")
    assert report.rejects_path == tmp_path / "bad.csv"
    assert report.rejects_path.stat().st_mode & 0o077 == 0


async def test_region_completes_national_numbers(store: MemoryStore, tmp_path: Path) -> None:
    await run(store, tmp_path, "phone,country\n020 7946 0000,\n0131 496 0000,GB\n", region="GB")
    assert {lead.e164 for lead in await leads_of(store)} == {"+442079460000", "+441314960000"}


async def test_heading_can_be_mapped_to_a_field(store: MemoryStore, tmp_path: Path) -> None:
    await run(store, tmp_path, "Handy,phone\n2125550101,home\n", columns={"number": "Handy"})
    (lead,) = await leads_of(store)
    assert (lead.e164, lead.attributes) == (NUMBER, {"phone": "home"})


async def test_numbers_can_be_supplied_for_a_file_without_numbers(
    store: MemoryStore, tmp_path: Path
) -> None:
    report = await run(
        store, tmp_path, "job;y\nclerk;no\nbroken\nnurse;yes\n", number_of=fictional_number
    )
    assert (report.added, report.rejected) == (2, 1)
    jobs = {lead.e164: lead.attributes["job"] for lead in await leads_of(store)}
    assert jobs == {fictional_number(0): "clerk", fictional_number(2): "nurse"}


async def test_default_zone_applies_to_rows_without_one(store: MemoryStore, tmp_path: Path) -> None:
    data = f"phone,tz\n{NUMBER},\n+12125550102,UTC\n"
    await run(store, tmp_path, data, timezone="europe/lisbon")
    assert {lead.timezone for lead in await leads_of(store)} == {"Europe/Lisbon", "UTC"}


async def test_progress_is_reported(store: MemoryStore, tmp_path: Path) -> None:
    counts: list[int] = []
    rows = "".join(f"{fictional_number(i)}\n" for i in range(1500))
    await run(store, tmp_path, "phone\n" + rows, progress=counts.append)
    assert counts == [1000, 1500]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("", {}, "empty"),
        ("name,job\nAnn,clerk\n", {}, "no column for the phone number"),
        (f"{NUMBER},Ann\n", {}, "no column for the phone number"),
        ("phone;name\n1;Ann\n", {"delimiter": ","}, "no column for the phone number"),
        ("phone,phone\n1,2\n", {}, "two columns are called 'phone'"),
        ("phone,a\n", {"columns": {"number": "b"}}, "no column 'b'"),
        ("phone,a\n", {"columns": {"fax": "a"}}, "no such field: fax"),
        ("phone,a\n", {"delimiter": "; "}, "one character"),
        ("phone,a\n", {"region": "Utopia"}, "two letters"),
        ("phone,a\n", {"timezone": "Mars/Olympus"}, "not a time zone"),
        ("phone\n12\n", {"rejects": Path("/nowhere/at/all.csv")}, "choose another file"),
    ],
)
async def test_unusable_file_or_option_is_rejected_in_one_line(
    store: MemoryStore, tmp_path: Path, data: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        await run(store, tmp_path, data, **options)
    assert "\n" not in str(caught.value)
    assert NUMBER not in str(caught.value)
    assert not await leads_of(store)


CELL = st.one_of(
    st.sampled_from(
        [b"+12125550101", b"2125550102", b"12", b"a@example.org", b"UTC", b'"', b"x;y"]
    ),
    st.binary(max_size=8),
)
ROW = st.lists(CELL, max_size=5).map(b",".join)


@given(st.lists(ROW, max_size=12).map(b"\n".join))
async def test_report_adds_up_for_any_file(
    tmp_path_factory: pytest.TempPathFactory, rows: bytes
) -> None:
    store, folder = MemoryStore(clock=CLOCK), tmp_path_factory.mktemp("any")
    first = await run(store, folder, b"phone,email,tz,tags\n" + rows)
    again = await run(store, folder, b"phone,email,tz,tags\n" + rows)
    for report in (first, again):
        assert report.read == report.added + report.duplicates + report.rejected
        assert report.rejected == (len(rejects_of(report)) if report.rejects_path else 0)
    assert again.added == 0
    assert (again.read, again.rejected) == (first.read, first.rejected)
    assert len(await leads_of(store)) == first.added
