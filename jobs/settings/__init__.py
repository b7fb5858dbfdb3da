"""Settings, read from the environment and from `.env`. Importing a module reads nothing.

- `model`: `Settings`, with one field per environment variable.
- `loading`: `load_settings` and `get_settings`, with one-line errors.
"""

from jobs.settings.loading import OUR_PREFIXES, SettingsError, get_settings, load_settings
from jobs.settings.model import LONGEST, BoundedSeconds, LogLevel, Settings

__all__ = [
    "LONGEST",
    "OUR_PREFIXES",
    "BoundedSeconds",
    "LogLevel",
    "Settings",
    "SettingsError",
    "get_settings",
    "load_settings",
]
