"""Time zones with their rules, in which schedules are due."""

import os
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs.errors import UsageError


def local_zone() -> tzinfo:
    """The machine's zone with its changes of the clocks, not just its offset of today."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:  # noqa: PTH123 - what ZoneInfo wants
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def as_zoneinfo(zone: tzinfo) -> tzinfo:
    """`zone`, as the standard library's where it is one of pytz, which needs special handling."""
    name = getattr(zone, "zone", None)
    return ZoneInfo(name) if isinstance(name, str) else zone


def named_zone(name: str | None) -> tzinfo | None:
    """The zone of this IANA name. Raises UsageError."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise UsageError(f"not a time zone: {name!r} (as in Europe/Berlin)") from None
