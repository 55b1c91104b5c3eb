"""``asyncconn datorama``: what there is in Datorama, bulk work under its cap, reports, queries and downloads."""

from __future__ import annotations

from asyncconn.cli.datorama.bulk import process, rename, rerun
from asyncconn.cli.datorama.data import download, query, report
from asyncconn.cli.datorama.lists import jobs, rate, reports, streams, workspaces
from asyncconn.cli.datorama.snapshot import snapshot
from asyncconn.cli.options import group

__all__ = ["app"]

app = group(
    "Datorama: lists, bulk work under the cap of 60 calls a minute, reports, queries, downloads. "
    "ASYNCCONN_DATORAMA_TOKEN holds the token, or several with commas between them.",
    workspaces,
    streams,
    jobs,
    process,
    rerun,
    rename,
    query,
    report,
    reports,
    download,
    snapshot,
    rate,
)
