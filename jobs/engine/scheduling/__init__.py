"""Scheduling: jobs at fire times, once over all workers.

- `cron`: schedules, and `cron()`.
- `times`: fire times in local time.
- `timezones`: zones by name.
- `scheduler`: fires schedules when they are due.
"""
