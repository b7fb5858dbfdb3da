"""`ringline reconcile`: what the crons do, now."""

import asyncio

import click

from jobs.cli.resources import opened_pool, scheduled_jobs
from jobs.engine import JobRequest


@click.command()
def reconcile() -> None:
    """Have the workers look now for what was lost: callbacks, answers of the provider, and jobs.

    Runs the job of every schedule once. After Redis was flushed, what is still to be done is
    found in the database; what was begun less than ten minutes ago is left to the next run.
    """

    async def run() -> list[str]:
        names = scheduled_jobs()
        async with opened_pool() as pool:
            await pool.enqueue_many([JobRequest(name) for name in names])
        return names

    click.echo(f"enqueued {', '.join(asyncio.run(run()))}")
