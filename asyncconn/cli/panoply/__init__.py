"""``asyncconn panoply``: records into the warehouse, and what a spool still holds."""

from __future__ import annotations

import typer

from asyncconn.cli.panoply.spool import spool
from asyncconn.cli.panoply.write import write
from asyncconn.cli.sheets import Group

__all__ = ["app"]

app = typer.Typer(
    cls=Group, help="Panoply: stream records into a data warehouse.", no_args_is_help=True, add_completion=False
)

for _command in (write, spool):
    app.command()(_command)
