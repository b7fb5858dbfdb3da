"""Settings, from the environment and from `.env`; nothing is read when a module is imported."""

import difflib
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableError

OUR_PREFIXES: Final = ("TASK_", "JOBS_")
"""Names that begin so are ours; of others we cannot know who they are meant for."""

_AS_JSON: Final = {
    "TASK_DOMAINS": '["lead", "call"]',
    "TASK_QUEUE_URLS": '{"call_tasks": "redis://host:6379/0"}',
}

LONGEST: Final = 365 * 86_400
"""Seconds: a year. A time without an end, or nearly so, no server could be told."""

Seconds = Annotated[float, Field(allow_inf_nan=False, le=LONGEST)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class SettingsError(Exception):
    """A setting is unknown or has a bad value; the text is one line that names it."""


def _of_the_web(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("url", "an http:// or https:// URL is wanted")
    return url


class Settings(BaseSettings):
    """What a process of this project can be told from outside.

    Each field is an environment variable of the same name, in upper case.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    redis_url: SecretStr | None = None
    """`redis://`, `rediss://`, `unix://` or `redis+sentinel://`; without it, the embedded server of
    this folder."""
    task_queue_urls: dict[str, SecretStr] = {}
    """The Redis of each queue that is not on REDIS_URL's; as JSON, queue to URL."""
    database_url: SecretStr | None = None
    """`postgresql://…`; without it, the embedded server of this folder."""
    jobs_home: Path = Path(".jobs")
    """The folder of the embedded servers and their data."""

    task_domains: frozenset[str] = frozenset({"lead", "call", "campaign", "analytics"})
    """Job names beginning with one of these go to `<domain>_tasks`; given as a JSON list."""
    task_default_queue: str = "default"
    """The queue of a job whose name has no known prefix."""
    task_default_retry_delay: Annotated[Seconds, Field(ge=0)] = 5
    """Seconds before the first retry; each further one doubles it."""
    task_max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Tries after the first."""
    task_max_retry_delay: Annotated[Seconds, Field(gt=0)] = 3600
    """The longest delay between two tries, in seconds."""
    task_timeout: Annotated[Seconds, Field(gt=0)] = 60
    """Seconds that a try may take, where a job does not say otherwise."""
    task_max_jobs: Annotated[int, Field(ge=1)] = 100
    """Jobs that one worker process runs at once."""
    task_lease: Annotated[Seconds, Field(ge=1)] = 15
    """Seconds after which a silent worker's jobs are given to another."""
    task_shutdown_grace: Annotated[Seconds, Field(ge=0)] = 10
    """Seconds that running jobs have to finish after SIGTERM, before they are put back."""
    task_alert_url: Annotated[SecretStr, AfterValidator(_of_the_web)] | None = None
    """Where dead letters are told of, as JSON in a POST: a chat's webhook, say."""
    task_alert_every: Annotated[Seconds, Field(ge=1)] = 600
    """Seconds in which failures that are the same but for the data are told of once."""
    task_dead_letter_days: Annotated[float, Field(gt=0, le=36500)] = 30
    """Days for which a dead letter is kept."""

    default_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "US"
    """ISO 3166 region in which a phone number without a country code is read."""
    recordings_url: SecretStr = SecretStr("recordings")
    """A folder, or the URL of an object store, for call recordings."""
    voice_url: SecretStr = SecretStr("simulator:")
    """The voice provider: `simulator:` (in this process) or `simulator+unix:/path/of/socket`."""
    jobs_clock: str | None = None
    """A faster business clock, as `START@RATE@EPOCH`; see `jobs.clock`."""
    log_level: LogLevel = "INFO"
    log_format: Literal["console", "json"] = "console"


def load_settings(**overrides: object) -> Settings:
    """The settings of this moment.

    Raises SettingsError with one line that names the first bad value and what is expected, or a
    name that begins like ours and is not.
    """
    env_file = overrides.get("_env_file", Settings.model_config.get("env_file"))
    try:
        _refuse_unknown(env_file)
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1]).upper()
        raise SettingsError(f"{name}: {first['msg']}") from None
    except UnreadableError as error:
        name = str(error).split('"')[1].upper()
        raise SettingsError(f"{name}: JSON is wanted, as in {_AS_JSON[name]}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file}: this file is not UTF-8 text") from None


def _refuse_unknown(env_file: object) -> None:
    """A misspelt name would be a setting silently left at its default."""
    known = {name.upper() for name in Settings.model_fields}
    given = dict(os.environ)
    if isinstance(env_file, str | Path):
        given |= dict.fromkeys(dotenv_values(env_file), "")
    for name in sorted(given):
        if name.upper().startswith(OUR_PREFIXES) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsError(f"{name}: there is no such setting{hint}")


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
