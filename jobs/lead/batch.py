"""One operation for many leads: split into jobs that are small enough to be retried."""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from jobs.batches import batched
from jobs.context import JobContext
from jobs.engine import find_job, job, retry
from jobs.errors import ValidationError

LEADS_PER_JOB: Final = 100


class Operation(StrEnum):
    """What can be done to many leads; each is the job `lead.<operation>`."""

    QUALIFY = "qualify"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    UPDATE = "update"


@job("lead.batch", timeout=120)
@retry()
async def batch_leads(
    ctx: JobContext, operation: Operation, lead_ids: list[UUID], **arguments: Any
) -> int:
    """Enqueues the operation for all of the leads, or for none; answers the number of jobs.

    arguments: those of the operation's job, besides the leads. Raises ValidationError when they
    do not fit.
    """
    name = f"lead.{operation.value}"
    chunks = list(batched(dict.fromkeys(lead_ids), LEADS_PER_JOB))
    definition = find_job(name)
    if definition is None:
        raise ValidationError(f"no such job: {name}")
    for chunk in chunks[:1]:
        definition.check(_leads(operation, chunk), arguments)
    async with ctx["store"].begin() as work:
        for chunk in chunks:
            work.enqueue(name, *_leads(operation, chunk), **arguments)
    return len(chunks)


def _leads(operation: Operation, chunk: tuple[UUID, ...]) -> tuple[object, ...]:
    return chunk if operation is Operation.QUALIFY else (list(chunk),)
