"""`ringline schedule`: show cron schedules and their next fire times."""

import json
from dataclasses import dataclass
from datetime import datetime, tzinfo

import click
from rich.table import Table

from jobs.cli.output import CONSOLE
from jobs.cli.resources import known_classes
from jobs.clock import clock_from
from jobs.engine.queue.names import queues_of
from jobs.engine.scheduling.cron import Cron
from jobs.engine.scheduling.timezones import local_zone
from jobs.settings import get_settings


@dataclass(frozen=True, slots=True)
class Entry:
    """One cron schedule.

    Attributes:
        name: Name of the cron, such as `cron:campaign.tick`.
        queue: Queue that the job runs on.
        times: Cron expression; six fields with the seconds first, unless they are 0.
        zone: Time zone of the expression.
        missed: Policy for fire times that passed while no worker ran.
        next_run: Next fire time.
    """

    name: str
    queue: str
    times: str
    zone: str
    missed: str
    next_run: datetime


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def schedule(context: click.Context, as_json: bool) -> None:
    """Show cron schedules; without a command, list them."""
    context.default_map = {"list": {"as_json": as_json}}
    if context.invoked_subcommand is None:
        context.invoke(list_schedules, as_json=as_json)


@schedule.command("list")
@AS_JSON
def list_schedules(as_json: bool) -> None:
    """List cron schedules and their next fire times.

    Fire times follow the business clock (RINGLINE_CLOCK).
    """
    now = clock_from(get_settings().ringline_clock).now()
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
    """Return the cron schedules of the built-in domains and of TASK_WORKERS.

    Args:
        now: Business time, with a zone.

    Returns:
        The schedules in the order of the classes, each with its first fire time after `now`.
    """
    return [
        _entry(Cron.adopt(cron), queues_of(cls)[0], now, _zone_of(cls))
        for cls in known_classes()
        for cron in getattr(cls, "cron_jobs", None) or ()
    ]


def _zone_of(cls: type) -> tzinfo:
    zone: tzinfo | None = getattr(cls, "timezone", None)
    return zone or local_zone()


def _entry(cron: Cron, queue: str, now: datetime, zone: tzinfo) -> Entry:
    """Describe a cron; `zone` is the worker's, for a cron without a zone."""
    times = cron.fire_times
    seconds = "*" if len(times.seconds) == 60 else ",".join(map(str, times.seconds))
    return Entry(
        name=cron.name,
        queue=cron.queue or queue,
        times=times.minutes if seconds == "0" else f"{seconds} {times.minutes}",
        zone=_zone_name(cron.zone or zone, now),
        missed=cron.missed,
        next_run=cron.next_fire_time(now, zone),
    )


def _zone_name(zone: tzinfo, now: datetime) -> str:
    # The machine's zone may have rules but no name.
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
