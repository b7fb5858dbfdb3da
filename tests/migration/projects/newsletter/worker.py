"""Jobs of the newsletter: one mail per recipient, retried while the mail server is busy."""

from typing import Any

from arq import Retry, cron
from arq.worker import func

from .mail import MailRefusedError, MailServer
from .settings import REDIS

RECIPIENTS = ("ann@example.com", "ben@example.com")


async def startup(ctx: dict[Any, Any]) -> None:
    ctx["mail"] = await MailServer.connect(REDIS)


async def shutdown(ctx: dict[Any, Any]) -> None:
    await ctx["mail"].close()


async def send_mail(ctx: dict[Any, Any], recipient: str, edition: int) -> int:
    try:
        await ctx["mail"].send(recipient, edition)
    except MailRefusedError as error:
        raise Retry(defer=ctx["job_try"] * 0.5) from error
    return int(ctx["job_try"])


async def send_edition(ctx: dict[Any, Any], edition: int) -> int:
    for recipient in RECIPIENTS:
        job_id = f"{edition}:{recipient}"
        await ctx["redis"].enqueue_job("send_mail", recipient, edition, _job_id=job_id)
    return len(RECIPIENTS)


async def tick(ctx: dict[Any, Any]) -> None:
    await ctx["mail"].tick(ctx["score"])


class WorkerSettings:
    functions = [func(send_mail, max_tries=5, keep_result=3600), send_edition]
    cron_jobs = [cron(tick, second=set(range(60)))]
    redis_settings = REDIS
    on_startup = startup
    on_shutdown = shutdown
    job_timeout = 30
