"""Reads `Settings` and turns each bad value into a one-line error."""

import difflib
import os
import re
from functools import cache
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError as UnreadableError

from jobs.settings.model import Settings

OUR_PREFIXES: Final = ("TASK_", "RINGLINE_")
"""Prefixes of our variables. Other programs may use them too, so only a near miss is an error."""

_RENAMED: Final = {"JOBS_CLOCK": "RINGLINE_CLOCK", "JOBS_HOME": "RINGLINE_HOME"}
_SIMILARITY: Final = 0.77
"""Ratio of difflib from which a name counts as misspelled, its prefix aside: RETRIES is a near miss
of MAX_RETRIES, REDIS_PORT is none of REDIS_URL."""
_SERVICE: Final = re.compile(r"_(SERVICE_(HOST|PORT)|PORT)(_\w+)?$")
"""Ends of the variables that Kubernetes sets in each pod, such as TASK_SERVICE_HOST."""

_JSON_EXAMPLES: Final = {
    "TASK_DOMAINS": '["lead", "call"]',
    "TASK_QUEUE_URLS": '{"call_tasks": "redis://host:6379/0"}',
}


class SettingsError(Exception):
    """A setting is unknown or has a bad value. The message is one line that names the setting."""


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment and from `.env`.

    Args:
        **overrides: Values by field name; they take precedence over the environment.
            `_env_file` replaces the path of `.env`; None reads no file.

    Returns:
        The settings at this moment.

    Raises:
        SettingsError: A value is bad, `.env` is not UTF-8, or the name of a variable is an old name
            or a near miss of a setting.
    """
    env_file = overrides.get("_env_file", Settings.model_config.get("env_file"))
    try:
        _refuse_misspelled(env_file)
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks each value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"][:1]).upper()
        raise SettingsError(f"{name}: {first['msg']}") from None
    except UnreadableError as error:
        name = str(error).split('"')[1].upper()
        raise SettingsError(f"{name}: expected JSON, as in {_JSON_EXAMPLES[name]}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{env_file}: not UTF-8 text; save the file as UTF-8") from None


def _refuse_misspelled(env_file: object) -> None:
    """Raise SettingsError for a misspelled name, which would leave its setting at the default."""
    known = {name.upper() for name in Settings.model_fields}
    names = set(os.environ)
    if isinstance(env_file, str | Path):
        names.update(dotenv_values(env_file))
    for name in sorted(names):
        upper = name.upper()
        if upper in _RENAMED:
            raise SettingsError(f"{name}: renamed to {_RENAMED[upper]}")
        if not upper.startswith(OUR_PREFIXES) or upper in known or _SERVICE.search(upper):
            continue
        stems = {_stem(setting): setting for setting in known}
        near = difflib.get_close_matches(_stem(upper), stems, n=1, cutoff=_SIMILARITY)
        if near:
            raise SettingsError(f"{name}: unknown setting; did you mean {stems[near[0]]}?")


def _stem(name: str) -> str:
    """Return a name without our prefix."""
    prefix = next((prefix for prefix in OUR_PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


@cache
def get_settings() -> Settings:
    """Return the settings of this process; only the first call reads them.

    Returns:
        The same object on each call.

    Raises:
        SettingsError: See `load_settings`.
    """
    return load_settings()
