"""Which servers a process shall use: those of the settings, else the embedded ones."""

from jobs.embedded.folder import Servers
from jobs.embedded.users import find, use
from jobs.errors import ServerError
from jobs.settings import Settings


def redis_url(settings: Settings, *, start: bool) -> str:
    """REDIS_URL, else the Redis of the folder `jobs_home`.

    start: whether to start the embedded servers if they are not up; else that is a ServerError.
    """
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return _embedded(settings, "REDIS_URL", start=start).redis_url


def database_url(settings: Settings, *, start: bool) -> str:
    """DATABASE_URL, else the PostgreSQL of the folder `jobs_home`; see `redis_url`."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return _embedded(settings, "DATABASE_URL", start=start).database_url


def _embedded(settings: Settings, name: str, *, start: bool) -> Servers:
    if start:
        return use(settings.jobs_home)
    servers = find(settings.jobs_home)
    if servers is None:
        raise ServerError(
            f"{name} is not set, and no embedded servers are up in "
            f"{settings.jobs_home.absolute()}; start them with `ringline up`"
        )
    return servers
