"""Time zones of schedules."""

import os
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs.errors import UsageError


def local_zone() -> tzinfo:
    """Return the machine's zone with its clock changes, not just today's offset."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:  # noqa: PTH123 - what ZoneInfo wants
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def as_zoneinfo(zone: tzinfo) -> tzinfo:
    """Return a zone of pytz as the standard library's; others as they are."""
    name = getattr(zone, "zone", None)
    return ZoneInfo(name) if isinstance(name, str) else zone


def named_zone(name: str | None) -> tzinfo | None:
    """Return the zone with an IANA name; None for None.

    Raises:
        UsageError: There is no such zone.
    """
    try:
        return None if name is None else ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise UsageError(f"not a time zone: {name!r} (as in Europe/Berlin)") from None
