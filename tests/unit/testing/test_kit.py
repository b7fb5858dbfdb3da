"""What users test with: a context without servers, jobs run as a worker does, and what follows."""

from uuid import UUID, uuid4

import pytest

from jobs.context import JobContext
from jobs.engine import Pool
from jobs.errors import NotFoundError, UsageError, ValidationError
from jobs.lead.process_lead import update_lead
from jobs.lead.qualification import qualify_lead, qualify_pending
from jobs.store.model import NewLead
from jobs.testing import MemoryStore, RecordedPool, assert_enqueued, make_context, run_job


async def add_lead(ctx: JobContext) -> UUID:
    async with ctx["store"].begin() as work:
        added = await work.leads.add([NewLead("+12025550123")], ctx["clock"].now())
    return added["+12025550123"]


def memory(ctx: JobContext) -> MemoryStore:
    assert isinstance(ctx["store"], MemoryStore)
    return ctx["store"]


async def test_a_job_runs_without_any_server(job_context: JobContext) -> None:
    lead_id = await add_lead(job_context)
    await run_job(qualify_lead, job_context, lead_id)
    async with job_context["store"].begin() as work:
        assert (await work.leads.get(lead_id)).score is not None


async def test_a_job_gets_its_arguments_as_from_the_queue(job_context: JobContext) -> None:
    with pytest.raises(ValidationError, match="lead_ids"):
        await run_job(qualify_lead, job_context, "no id")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(NotFoundError):
        await run_job(update_lead, job_context, uuid4(), {"name": "Ada"})  # type: ignore[arg-type]  # as JSON


async def test_what_is_no_job_is_told_apart(job_context: JobContext) -> None:
    async def no_job(ctx: JobContext) -> None: ...

    with pytest.raises(UsageError, match="no_job is not a job"):
        await run_job(no_job, job_context)


async def test_follow_ups_are_found_by_name_and_arguments(job_context: JobContext) -> None:
    lead_id = await add_lead(job_context)
    await run_job(qualify_pending, job_context)
    store = memory(job_context)
    await assert_enqueued(store, "lead.qualify")
    await assert_enqueued(store, "lead.qualify", lead_id)
    await assert_enqueued(job_context["redis"], "lead.qualify", str(lead_id))
    with pytest.raises(AssertionError, match=r"qualify\(1\) was not enqueued; there are\n  lead"):
        await assert_enqueued(store, "lead.qualify", 1)
    with pytest.raises(AssertionError, match="no jobs"):
        await assert_enqueued(MemoryStore(clock=job_context["clock"]), "lead.qualify")


async def test_a_recorded_pool_knows_ids_and_options() -> None:
    pool = RecordedPool()
    job = await pool.enqueue_job("lead.qualify", 1, _job_id="one", colour="red")
    assert job is not None
    assert job.job_id == "one"
    assert await pool.enqueue_job(qualify_lead, _job_id="one") is None
    await assert_enqueued(pool, "lead.qualify", 1, colour="red")
    with pytest.raises(AssertionError):
        await assert_enqueued(pool, "lead.qualify", 1, colour="blue")


async def test_what_is_enqueued_in_redis_is_found(redis_url: str) -> None:
    from jobs.engine import create_pool

    pool: Pool = await create_pool(redis_url)
    try:
        lead_id = uuid4()
        await pool.enqueue_job("lead.qualify", lead_id)
        await assert_enqueued(pool, "lead.qualify", lead_id)
    finally:
        await pool.aclose()


async def test_parts_of_a_context_can_be_replaced() -> None:
    pool = RecordedPool()
    context = make_context(redis=pool, job_try=3)
    await context["voice"].close()
    assert context["redis"] is pool
    assert context["job_try"] == 3
