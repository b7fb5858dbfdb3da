"""Producer: `python -m newsletter.app EDITION` sends an edition."""

import asyncio
import sys

from arq import create_pool

from .settings import REDIS


async def main(edition: int) -> None:
    redis = await create_pool(REDIS)
    job = await redis.enqueue_job("send_edition", edition)
    if job is not None:
        print(await job.result(timeout=20))
    await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
