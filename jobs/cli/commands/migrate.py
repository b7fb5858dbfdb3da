"""`ringline migrate`: migrate the database."""

import click

from jobs.embedded.resolve import database_url
from jobs.settings import get_settings
from jobs.store.postgres import migrate as schema


@click.command()
@click.option(
    "--grant",
    "role",
    metavar="ROLE",
    help="Grant ROLE, the role of the workers, exactly the privileges that they need.",
)
def migrate(role: str | None) -> None:
    """Migrate the database to the latest schema.

    Several processes may run this at the same time.
    """
    url = database_url(get_settings(), start=True)
    before = schema.current(url)
    schema.upgrade(url, grant_to=role)
    after = schema.current(url)
    granted = f"; {role} may work with it" if role else ""
    if before == after:
        click.echo(f"the schema is up to date at {after}{granted}")
    else:
        click.echo(f"migrated the schema from {before or 'empty'} to {after}{granted}")
