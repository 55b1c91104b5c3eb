"""The paths below the base URL, with their ids checked. Contract: datorama section 2; its row names stand behind them.

What is marked unverified there is marked so here too.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any, SupportsIndex
from urllib.parse import quote

from asyncconn.errors import ConfigError

__all__ = ["entity", "in_account", "in_workspace", "number", "numbers"]

V1 = "/v1"

WORKSPACES = f"{V1}/workspaces"  # W1, W3
STREAMS = f"{V1}/data-streams"  # D3
PROCESS = f"{V1}/data-streams/process"  # D8
CREATE_PATTERN = f"{V1}/harmonization/patterns"  # M13
ACCOUNTS = f"{V1}/accounts"  # A1
REPORTS = f"{V1}/reports"  # R1
SCHEDULERS = f"{V1}/report-schedulers"  # R9
DASHBOARDS = f"{V1}/dashboards"
PAGES = f"{V1}/pages"
QUERY = f"{V1}/query"  # Q1
QUERY_BATCH = f"{V1}/query-batch"  # Q2


def number(value: Any, what: str = "id") -> int:
    """An id as the whole number it is, also one out of a frame (NumPy's). Raises ``ConfigError``."""
    found: Any = value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}\s*", value, re.ASCII):
        found = int(value)
    elif isinstance(value, SupportsIndex) and not isinstance(value, bool):
        found = operator.index(value)
    if type(found) is not int or found < 0:
        raise ConfigError(f"{what} must be a whole number, not {value!r}")
    return found


def numbers(values: Any, what: str = "id") -> list[int]:
    """Several ids. Raises ``ConfigError``, also for a text, whose digits would be taken for ids one by one."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigError(f"ids are a list of whole numbers, not {values!r}")
    return [number(value, what) for value in values]


def entity(collection: str, id: Any, *more: str) -> str:  # noqa: A002 - what it is called everywhere
    """``/v1/{collection}/{id}``, and what stands below it.

    >>> entity("reports", 7, "process")
    '/v1/reports/7/process'
    """
    return "/".join([f"{V1}/{collection}/{number(id)}", *more])


def in_workspace(workspace_id: Any, *more: str) -> str:
    """``/v1/workspaces/{id}/...``."""
    return "/".join([f"{V1}/workspaces/{number(workspace_id, 'workspace_id')}", *more])


def in_account(account_id: Any, *more: str) -> str:
    """``/v1/accounts/{id}/...``."""
    return "/".join([f"{V1}/accounts/{number(account_id, 'account_id')}", *more])


def named(value: Any, what: str) -> str:
    """A name as a part of a path. Raises ``ConfigError`` when it is empty or no text."""
    if not isinstance(value, str) or value.strip() in ("", ".", ".."):
        raise ConfigError(f"{what} must be a name, not {value!r}")
    return quote(value, safe="")


def process(stream_id: Any) -> str:
    """D7."""
    return entity("data-streams", stream_id, "process")


def stats(stream_id: Any, *, file_based: bool) -> str:
    """J1 for API connectors, J2 for file-based streams."""
    where = "data-streams" if file_based else "data-streams/api"
    return f"{V1}/{where}/{number(stream_id, 'stream_id')}/stats"


def stat(job_id: Any) -> str:
    """J3."""
    return entity("data-stream-stats", job_id)


def rerun(stream_id: Any) -> str:
    """J4."""
    return f"{V1}/data-streams/api/{number(stream_id, 'stream_id')}/rerun"


def rerun_all(stream_id: Any) -> str:
    """J5."""
    return f"{V1}/data-streams/api/{number(stream_id, 'stream_id')}/rerun-all"


def job_download(job_id: Any, *, file_based: bool) -> str:
    """J6 (zip) for API connectors, J7 (CSV) for file-based streams."""
    where = "dynamic" if file_based else "api"
    return f"{V1}/data-stream-stats/{where}/{number(job_id, 'job_id')}/download"


def mapping(stream_id: Any) -> str:
    """D12, D13: unverified."""
    return f"{V1}/data-streams/api/{number(stream_id, 'stream_id')}/mapping"
