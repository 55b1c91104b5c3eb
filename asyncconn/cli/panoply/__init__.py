"""``asyncconn panoply``: records into the warehouse, and what a spool still holds."""

from __future__ import annotations

from asyncconn.cli.options import group
from asyncconn.cli.panoply.spool import spool
from asyncconn.cli.panoply.write import write

__all__ = ["app"]

app = group("Panoply: stream records into a data warehouse.", write, spool)
