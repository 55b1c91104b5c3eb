"""``asyncconn limits``: connect a session and its Limits server, know why it did not work, and manage limits."""

from __future__ import annotations

from asyncconn.cli.limits.connect import check_cube, connect, status
from asyncconn.cli.limits.data import evaluate, incidents, limits, structures, upload
from asyncconn.cli.limits.offline import compat, extract_ui
from asyncconn.cli.options import group

__all__ = ["app"]

app = group(
    "Atoti Limits: connect it to a session, find out why it is not connected, upload and evaluate limits. "
    "ATOTI_BASE_URL and ATOTI_LIMITS_URL hold the addresses, ASYNCCONN_ATOTI_LIMITS_USER and ..._PASSWORD, "
    "or ..._TOKEN, the credential.",
    *(connect, status, check_cube, structures, limits, upload, evaluate, incidents, extract_ui, compat),
)
