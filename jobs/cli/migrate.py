"""`jobs migrate`: the database's schema."""

import click

from jobs.embedded.resolve import database_url
from jobs.store import migrate as schema
from settings import get_settings


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema; several processes may do so at once."""
    url = database_url(get_settings(), start=True)
    before = schema.current(url)
    schema.upgrade(url)
    after = schema.current(url)
    click.echo(f"the schema was {before or 'empty'} and is {after}")
