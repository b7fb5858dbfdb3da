"""Test support: contexts without servers, executions of jobs, and enqueued jobs."""

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


def memory_store(ctx: JobContext) -> MemoryStore:
    assert isinstance(ctx["store"], MemoryStore)
    return ctx["store"]


async def test_job_runs_without_servers(job_context: JobContext) -> None:
    lead_id = await add_lead(job_context)
    await run_job(qualify_lead, job_context, lead_id)
    async with job_context["store"].begin() as work:
        assert (await work.leads.get(lead_id)).score is not None


async def test_job_receives_its_arguments_as_from_the_queue(job_context: JobContext) -> None:
    with pytest.raises(ValidationError, match="lead_ids"):
        await run_job(qualify_lead, job_context, "no id")  # type: ignore[arg-type]  # intended
    with pytest.raises(NotFoundError):
        await run_job(update_lead, job_context, uuid4(), {"name": "Ada"})  # type: ignore[arg-type]  # as JSON


async def test_function_without_decorator_is_rejected(job_context: JobContext) -> None:
    async def undecorated(ctx: JobContext) -> None: ...

    with pytest.raises(UsageError, match="undecorated is not a job"):
        await run_job(undecorated, job_context)


async def test_follow_up_jobs_are_found_by_name_and_arguments(job_context: JobContext) -> None:
    lead_id = await add_lead(job_context)
    await run_job(qualify_pending, job_context)
    store = memory_store(job_context)
    await assert_enqueued(store, "lead.qualify")
    await assert_enqueued(store, "lead.qualify", lead_id)
    await assert_enqueued(job_context["redis"], "lead.qualify", str(lead_id))
    with pytest.raises(
        AssertionError, match=r"qualify\(1\) was not enqueued; enqueued jobs:\n  lead"
    ):
        await assert_enqueued(store, "lead.qualify", 1)
    with pytest.raises(AssertionError, match="enqueued jobs: none"):
        await assert_enqueued(MemoryStore(clock=job_context["clock"]), "lead.qualify")


async def test_recorded_pool_respects_job_ids() -> None:
    pool = RecordedPool()
    job = await pool.enqueue_job("lead.qualify", 1, _job_id="one", color="red")
    assert job is not None
    assert job.job_id == "one"
    assert await pool.enqueue_job(qualify_lead, _job_id="one") is None
    await assert_enqueued(pool, "lead.qualify", 1, color="red")
    with pytest.raises(AssertionError):
        await assert_enqueued(pool, "lead.qualify", 1, color="blue")


async def test_job_enqueued_in_redis_is_found(redis_url: str) -> None:
    from jobs.engine import create_pool

    pool: Pool = await create_pool(redis_url)
    try:
        lead_id = uuid4()
        await pool.enqueue_job("lead.qualify", lead_id)
        await assert_enqueued(pool, "lead.qualify", lead_id)
    finally:
        await pool.aclose()


async def test_entries_of_a_context_can_be_replaced() -> None:
    pool = RecordedPool()
    context = make_context(redis=pool, job_try=3)
    await context["voice"].close()
    assert context["redis"] is pool
    assert context["job_try"] == 3
