"""`Settings`: the type, bounds and default value of each environment variable."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LONGEST: Final = 365 * 86_400
"""Seconds: a year. Redis and PostgreSQL reject times near the limits of their integers."""

BoundedSeconds = Annotated[float, Field(allow_inf_nan=False, le=LONGEST)]
"""A finite number of seconds, at most a year."""
_PATH: Final = re.compile(r"(?!\d)\w+(\.(?!\d)\w+)*[.:](?!\d)\w+")
"""Path of a class: a module, then a name after a dot or a colon."""
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
"""Names of the standard library's log levels."""


def _http_url(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("url", "expected an http:// or https:// URL")
    return url


def _split_paths(paths: object) -> object:
    """Split and check the value of TASK_WORKERS."""
    words = paths.split(",") if isinstance(paths, str) else paths
    if not isinstance(words, list | tuple):
        return words
    stripped = tuple(dict.fromkeys(str(word).strip() for word in words if str(word).strip()))
    for path in stripped:
        if not _PATH.fullmatch(path):
            raise PydanticCustomError(
                "path",
                "{path} is not the path of a class, such as my_package.WorkerSettings",
                {"path": repr(path)},
            )
    return stripped


class Settings(BaseSettings):
    """Configuration of one process.

    Each field is an environment variable of the same name, in upper case. The environment takes
    precedence over `.env`. An empty variable counts as unset.

    Attributes:
        redis_url: Redis of all queues: a `redis://`, `rediss://`, `unix://` or `redis+sentinel://`
            URL. None: the embedded server of the working folder.
        task_queue_urls: Redis URL by queue name, as JSON, for queues on another server than
            `redis_url`.
        database_url: PostgreSQL, as `postgresql://…`. None: the embedded server of the working
            folder.
        ringline_home: Folder of the embedded servers and their data.
        task_workers: Paths of your own settings classes, separated by commas, such as
            `billing.WorkerSettings`. Commands and pools learn their queues and jobs.
        task_domains: Prefixes of job names, as a JSON list. The jobs of each go to the queue
            `<domain>_tasks`, unless a settings class lists them.
        task_default_queue: Queue of jobs that no settings class lists and whose name has no prefix
            in `task_domains`.
        task_default_retry_delay: Delay before the first retry, in seconds. Each further retry
            doubles the delay.
        task_max_retries: Number of retries after the first try.
        task_max_retry_delay: Upper bound of the delay between two tries, in seconds.
        task_timeout: Time limit of one try, in seconds, for jobs without a `timeout`.
        task_max_jobs: Number of jobs that one worker process runs at the same time.
        task_lease: Lease of a running job, in seconds. When the lease of a lost worker expires,
            other workers run its jobs.
        task_shutdown_grace: Grace period of running jobs after SIGTERM, in seconds. Jobs that
            still run then are requeued.
        task_alert_url: Webhook URL. Dead letters are posted there as JSON.
        task_alert_every: Minimum interval between two alerts for the same failure fingerprint, in
            seconds.
        task_dead_letter_days: Retention of dead letters, in days.
        default_region: ISO 3166-1 alpha-2 code of the region of phone numbers without a country
            code.
        recordings_url: Store of call recordings: a folder, or the URL of an object store.
        voice_url: Voice provider: `simulator:` (in this process) or
            `simulator+unix:/path/of/socket`.
        ringline_clock: Business clock that runs faster than real time, as `START@RATE@EPOCH`; see
            `jobs.clock`. None: the machine's clock.
        log_level: Lowest level of the logged events.
        log_format: `console` for people, `json` for log collectors.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    redis_url: SecretStr | None = None
    task_queue_urls: dict[str, SecretStr] = {}
    database_url: SecretStr | None = None
    ringline_home: Path = Path(".jobs")

    task_workers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_paths)] = ()
    task_domains: frozenset[str] = frozenset({"lead", "call", "campaign", "analytics"})
    task_default_queue: str = "default"
    task_default_retry_delay: Annotated[BoundedSeconds, Field(ge=0)] = 5
    task_max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    task_max_retry_delay: Annotated[BoundedSeconds, Field(gt=0)] = 3600
    task_timeout: Annotated[BoundedSeconds, Field(gt=0)] = 60
    task_max_jobs: Annotated[int, Field(ge=1)] = 100
    task_lease: Annotated[BoundedSeconds, Field(ge=1)] = 15
    task_shutdown_grace: Annotated[BoundedSeconds, Field(ge=0)] = 10
    task_alert_url: Annotated[SecretStr, AfterValidator(_http_url)] | None = None
    task_alert_every: Annotated[BoundedSeconds, Field(ge=1)] = 600
    task_dead_letter_days: Annotated[float, Field(gt=0, le=36500)] = 30

    default_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "US"
    recordings_url: SecretStr = SecretStr("recordings")
    voice_url: SecretStr = SecretStr("simulator:")
    ringline_clock: str | None = None
    log_level: LogLevel = "INFO"
    log_format: Literal["console", "json"] = "console"
