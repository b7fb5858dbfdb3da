"""Producer: `ask ITEM COUNT` waits for a quote, `order ITEM DELAY` prints the job's id, and
`collect ID` prints the quote of an earlier order.
"""

import asyncio
import sys

from arq import create_pool
from arq.jobs import Job

from .settings import REDIS


async def main(command: str, *words: str) -> None:
    redis = await create_pool(REDIS)
    if command == "collect":
        job_id = words[0]
        job = Job(job_id, redis)
        print(await job.result(timeout=20))
    elif command == "order":
        item, delay = words
        enqueued = await redis.enqueue_job("price_item", item, _defer_by=float(delay))
        print(enqueued.job_id if enqueued else "twice")
    else:
        item, count = words
        enqueued = await redis.enqueue_job("price_item", item, count=int(count))
        try:
            print(await enqueued.result(timeout=20) if enqueued else "twice")
        except LookupError as error:
            print(f"no price for {error.args[0]}")
    await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
