"""Job of the quotes: the price of an item."""

from typing import Any

from .settings import REDIS

PRICES = {"bolt": 7, "nut": 3}


async def price_item(ctx: dict[Any, Any], item: str, count: int = 1) -> dict[str, Any]:
    if item not in PRICES:
        raise LookupError(item)
    return {"item": item, "total": PRICES[item] * count}


class WorkerSettings:
    functions = [price_item]
    redis_settings = REDIS
    keep_result = 600
