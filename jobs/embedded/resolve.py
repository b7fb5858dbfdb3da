"""Server URLs of a process: from the settings, else of the embedded servers."""

from jobs.embedded.folder import Servers
from jobs.embedded.users import find, use
from jobs.errors import ServerError
from jobs.settings import Settings


def redis_url(settings: Settings, *, start: bool) -> str:
    """Return REDIS_URL, or the URL of the embedded Redis if it is not set.

    Args:
        settings: The settings; `ringline_home` is the folder of the embedded servers.
        start: Start the embedded servers if they are not running.

    Raises:
        ServerError: The embedded servers cannot be started, or are not running and `start` is
            false.
    """
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return _embedded(settings, "REDIS_URL", start=start).redis_url


def database_url(settings: Settings, *, start: bool) -> str:
    """Return DATABASE_URL, or the URL of the embedded PostgreSQL if it is not set.

    Args:
        settings: The settings; `ringline_home` is the folder of the embedded servers.
        start: Start the embedded servers if they are not running.

    Raises:
        ServerError: The embedded servers cannot be started, or are not running and `start` is
            false.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return _embedded(settings, "DATABASE_URL", start=start).database_url


def _embedded(settings: Settings, name: str, *, start: bool) -> Servers:
    if start:
        return use(settings.ringline_home)
    servers = find(settings.ringline_home)
    if servers is None:
        raise ServerError(
            f"{name} is not set, and no embedded servers are running in "
            f"{settings.ringline_home.absolute()}: set {name}, or start them with `ringline up`"
        )
    return servers
