"""Settings of this deployment: re-exports `jobs.settings`.

`example.env` in this folder documents each variable. The wheel leaves this package out, so a
project that installs Ringline keeps its own `settings` module.
"""

from jobs.settings import Settings, SettingsError, get_settings, load_settings

__all__ = ["Settings", "SettingsError", "get_settings", "load_settings"]
