"""Import, qualification and tags on a worker, Redis and PostgreSQL."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.clock import SystemClock
from jobs.engine import DeadLetterStore
from jobs.lead import WorkerSettings
from jobs.lead.importing import import_leads
from jobs.rules.fictional import fictional_number
from jobs.rules.numbers import Temperature
from jobs.rules.states import LeadStatus
from jobs.store.model import LeadFilter
from tests.integration.domains.domains import burst, opened, settings_for


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, redis_url: str, database_url: str) -> Iterator[None]:
    with settings_for(monkeypatch, redis_url, database_url):
        yield


def leads_file(folder: Path, count: int) -> Path:
    path = folder / "leads.csv"
    rows = "".join(
        f"{fictional_number(i)},{'success' if i % 2 else ''},bank\n" for i in range(count)
    )
    path.write_text("phone,poutcome,tags\n" + rows + "12,,\n")
    return path


async def test_file_is_imported_qualified_and_tagged(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    path = leads_file(tmp_path, 250)
    async with opened(redis_url, database_url) as (pool, store):
        job = await pool.enqueue_job("lead.import", str(path), timezone="Europe/Lisbon")
        assert job is not None
        await burst(redis_url, WorkerSettings)
        report = await job.result(timeout=1)
        assert (report["read"], report["added"], report["rejected"]) == (251, 250, 1)
        assert report["rejects_path"] == str(tmp_path / "leads.rejects.csv")

        await pool.enqueue_job("lead.qualify_pending")
        await burst(redis_url, WorkerSettings)
        async with store.begin() as work:
            ids = await work.leads.ids(LeadFilter(tags=frozenset({"bank"})))
            leads = await work.leads.get_many(ids)
        assert len(leads) == 250
        assert {lead.timezone for lead in leads} == {"Europe/Lisbon"}
        neutral = [lead for lead in leads if lead.temperature is Temperature.NEUTRAL]
        assert len(neutral) == 125
        assert {lead.status for lead in neutral} == {LeadStatus.NEW}

        await pool.enqueue_job("lead.batch", "add_tags", ids, tags=["Spring"])
        await pool.enqueue_job("lead.batch", "qualify", ids[:10], temperature=1)
        await pool.enqueue_job("lead.update", ids[0], {"number": leads[1].e164})
        await burst(redis_url, WorkerSettings)
        async with store.begin() as work:
            tagged = await work.leads.ids(LeadFilter(tags=frozenset({"spring"})))
            hot = await work.leads.ids(LeadFilter(temperatures=frozenset({Temperature.HOT})))
        assert tagged == ids
        assert hot == ids[:10]
        assert [letter.error_class for letter in await DeadLetterStore(pool).find()] == [
            "ConflictError"
        ]


async def test_concurrent_imports_of_a_file_add_each_lead_once(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    path = leads_file(tmp_path, 1500)
    async with opened(redis_url, database_url) as (_, store):
        reports = await asyncio.gather(
            *(
                import_leads(store, SystemClock(), path, rejects=tmp_path / f"{n}.csv")
                for n in range(2)
            )
        )
        async with store.begin() as work:
            assert len(await work.leads.ids(LeadFilter())) == 1500
    assert sum(report.added for report in reports) == 1500
    assert sum(report.duplicates for report in reports) == 1500
