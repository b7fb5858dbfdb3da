"""`ringline reconcile`: enqueue every scheduled job now."""

import asyncio

import click

from jobs.cli.resources import open_pool, scheduled_jobs
from jobs.engine import JobRequest


@click.command()
def reconcile() -> None:
    """Recover lost callbacks, provider responses and jobs now.

    Enqueues the job of every cron schedule once, for the running workers. Use it after Redis was
    flushed: pending work is found in the database and enqueued again. Work that started less than
    ten minutes ago is left to the next run.
    """

    async def run() -> list[str]:
        names = scheduled_jobs()
        async with open_pool() as pool:
            await pool.enqueue_many([JobRequest(name) for name in names])
        return names

    click.echo(f"enqueued {', '.join(asyncio.run(run()))}")
