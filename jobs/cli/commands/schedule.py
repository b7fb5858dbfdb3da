"""`ringline schedule`: the crons."""

import json
from dataclasses import dataclass
from datetime import datetime, tzinfo

import click
from rich.table import Table

from jobs.cli.output import CONSOLE
from jobs.cli.resources import domain_settings
from jobs.clock import clock_from
from jobs.engine.scheduling.cron import Cron
from jobs.engine.scheduling.timezones import local_zone
from jobs.settings import get_settings


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule. times: a cron expression, with the seconds in front where they are not 0."""

    name: str
    queue: str
    times: str
    zone: str
    missed: str
    next_run: datetime


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def schedule(as_json: bool) -> None:
    """Show the crons and when each runs next, by the business clock (JOBS_CLOCK)."""
    now = clock_from(get_settings().jobs_clock).now()
    entries = sorted(all_entries(now), key=lambda entry: entry.next_run)
    if as_json:
        for entry in entries:
            click.echo(json.dumps(_json(entry)))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("cron", "queue", "times", "zone", "if missed", "next run (UTC)"):
        table.add_column(name, no_wrap=True)
    for entry in entries:
        table.add_row(
            entry.name,
            entry.queue,
            entry.times,
            entry.zone,
            entry.missed,
            f"{entry.next_run:%Y-%m-%d %H:%M:%S}",
        )
    CONSOLE.print(table)


def all_entries(now: datetime) -> list[Entry]:
    """The schedules of all domains, with their first slot after `now`."""
    return [
        _entry(Cron.adopt(cron), queue, now, getattr(domain, "timezone", None) or local_zone())
        for queue, domain in domain_settings().items()
        for cron in domain.cron_jobs or ()
    ]


def _entry(cron: Cron, queue: str, now: datetime, zone: tzinfo) -> Entry:
    """zone: the worker's, in which a cron is due that has none."""
    slots = cron.slots
    seconds = "*" if len(slots.seconds) == 60 else ",".join(map(str, slots.seconds))
    return Entry(
        name=cron.name,
        queue=cron.queue or queue,
        times=slots.minutes if seconds == "0" else f"{seconds} {slots.minutes}",
        zone=_name_of(cron.zone or zone, now),
        missed=cron.missed,
        next_run=cron.next_fire_time(now, zone),
    )


def _name_of(zone: tzinfo, now: datetime) -> str:
    """The machine's zone may be known by its rules alone."""
    return getattr(zone, "key", None) or now.astimezone(zone).tzname() or str(zone)


def _json(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.name,
        "queue": entry.queue,
        "times": entry.times,
        "zone": entry.zone,
        "missed": entry.missed,
        "next_run": entry.next_run.isoformat(),
    }
