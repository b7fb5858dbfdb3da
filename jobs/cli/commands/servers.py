"""`ringline up` and `ringline down`: start and stop the embedded servers of a folder."""

import shlex

import click

from jobs import embedded
from jobs.settings import get_settings


@click.command()
@click.option(
    "--export",
    is_flag=True,
    help=(
        "Print shell commands that set REDIS_URL and DATABASE_URL. "
        'Use: eval "$(ringline up --export)".'
    ),
)
def up(export: bool) -> None:
    """Start this folder's embedded Redis and PostgreSQL.

    The servers run until `ringline down`.
    """
    home = get_settings().ringline_home
    servers = embedded.up(home)
    if export:
        click.echo(f"export REDIS_URL={shlex.quote(servers.redis_url)}")
        click.echo(f"export DATABASE_URL={shlex.quote(servers.database_url)}")
    else:
        click.echo(f"Redis and PostgreSQL are up in {home.absolute()} until `ringline down`")


@click.command()
def down() -> None:
    """Stop this folder's embedded servers, even if they are in use."""
    home = get_settings().ringline_home
    if embedded.down(home):
        click.echo(f"the servers of {home.absolute()} have stopped")
    else:
        click.echo(f"no servers were up in {home.absolute()}")
