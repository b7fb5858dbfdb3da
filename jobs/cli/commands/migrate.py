"""`ringline migrate`: the database's schema."""

import click

from jobs.embedded.resolve import database_url
from jobs.settings import get_settings
from jobs.store.postgres import migrate as schema


@click.command()
@click.option(
    "--grant",
    "role",
    metavar="ROLE",
    help="Let this role, by which the workers connect, do what they need, and nothing else.",
)
def migrate(role: str | None) -> None:
    """Bring the database to the newest schema; several processes may do so at once."""
    url = database_url(get_settings(), start=True)
    before = schema.current(url)
    schema.upgrade(url, grant_to=role)
    after = schema.current(url)
    granted = f"; {role} may work with it" if role else ""
    click.echo(f"the schema was {before or 'empty'} and is {after}{granted}")
