"""This deployment's settings: the package's own, under the name that the application imports.

`example.env` beside this file lists every variable. The wheel does not contain this package.
"""

from jobs.settings import Settings, SettingsError, get_settings, load_settings

__all__ = ["Settings", "SettingsError", "get_settings", "load_settings"]
