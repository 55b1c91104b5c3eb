"""``asyncconn limits``: connect a session and its Limits server, know why it did not work, and manage limits."""

from __future__ import annotations

import typer

from asyncconn.cli.limits.common import placed
from asyncconn.cli.limits.connect import check_cube, connect, status
from asyncconn.cli.limits.data import evaluate, incidents, limits, structures, upload
from asyncconn.cli.limits.offline import compat, extract_ui
from asyncconn.cli.options import spread

__all__ = ["app"]

app = typer.Typer(
    help="Atoti Limits: connect it to a session, find out why it is not connected, upload and evaluate limits. "
    "ATOTI_BASE_URL and ATOTI_LIMITS_URL hold the addresses, ASYNCCONN_ATOTI_LIMITS_USER and ..._PASSWORD, "
    "or ..._TOKEN, the credential.",
    no_args_is_help=True,
    add_completion=False,
)

for _command in (connect, status, check_cube, structures, limits, upload, evaluate, incidents):
    app.command()(placed(spread(_command)))
app.command()(spread(extract_ui))
app.command()(spread(compat))
