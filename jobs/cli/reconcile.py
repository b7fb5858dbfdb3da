"""`jobs reconcile`: what the cron does, now."""

import asyncio

import click

from jobs.cli.services import opened_pool


@click.command()
def reconcile() -> None:
    """Have lost callbacks, answers of the provider and jobs looked for now, by a worker."""

    async def run() -> None:
        async with opened_pool() as pool:
            await pool.enqueue_job("default.relay_outbox")
            await pool.enqueue_job("call.reconcile")

    asyncio.run(run())
    click.echo("asked the workers of call_tasks and default to reconcile")
