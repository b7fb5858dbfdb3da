"""One operation on many leads, split into jobs small enough to retry."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import find_job, job, retry
from jobs.errors import ValidationError
from jobs.lead.lead_ids import LEADS_PER_JOB


class Operation(StrEnum):
    """Operation on many leads, run by the job `lead.<operation>`."""

    QUALIFY = "qualify"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    UPDATE = "update"


@job("lead.batch", timeout=120)
@retry()
async def batch_leads(
    ctx: JobContext, operation: Operation, lead_ids: list[UUID], **arguments: Any
) -> int:
    """Enqueue an operation for all of the leads, or for none.

    Args:
        ctx: Job context.
        operation: Operation to run.
        lead_ids: The leads; duplicates count once.
        arguments: Other arguments of the operation's job.

    Returns:
        Count of enqueued jobs.

    Raises:
        ValidationError: The arguments do not match the job's signature.
    """
    name = f"lead.{operation.value}"
    chunks = list(batched(dict.fromkeys(lead_ids), LEADS_PER_JOB))
    definition = find_job(name)
    if definition is None:
        raise ValidationError(f"no such job: {name}")
    for chunk in chunks[:1]:
        definition.check(_lead_arguments(operation, chunk), arguments)
    async with ctx["store"].begin() as work:
        for chunk in chunks:
            work.enqueue(name, *_lead_arguments(operation, chunk), **arguments)
    return len(chunks)


def _lead_arguments(operation: Operation, chunk: tuple[UUID, ...]) -> tuple[object, ...]:
    return chunk if operation is Operation.QUALIFY else (list(chunk),)
