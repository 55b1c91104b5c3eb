"""A source that counts: every kind of parameter, pages, progress, state, and prints as old ones do."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import asyncconn.panoply as panoply

CALLS = Path("values-called.txt")


def schemas(source: dict[str, Any]) -> list[str]:
    CALLS.write_text(f"{sorted(source)}\n")
    return [f"{source['hostName']}_a", f"{source['hostName']}_b"]


async def tables(source: dict[str, Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"{source['schema']}.{n}".title(), "value": n} for n in options.get("tables", [7, 8])]


class Numbers(panoply.DataSource):
    def __init__(self, source: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(source, options)
        state = source.get("state") or {}
        self.at = state.get("at", 0)
        self.total = source.get("rows", 5)
        if source.get("hostName") == "broken":
            raise RuntimeError(f"cannot log in with {source['password']}")

    def read(self, n: int | None = None) -> list[dict[str, Any]] | None:
        if self.at >= self.total:
            return None
        size = min(n or 2, self.total - self.at)
        state_id = str(uuid.uuid4())
        rows = [{"id": i, "host": self.source["hostName"], "__state": state_id} for i in range(self.at, self.at + size)]
        if self.source.get("hostName") == "failing" and self.at:
            raise panoply.PanoplyException(f"refused {self.source['password']}", retryable=False)
        time.sleep(self.source.get("pause") or 0)
        self.at += size
        self.progress(self.at, self.total, f"{self.at}/{self.total} [rows]\x1b[2J")
        self.state(state_id, {"at": self.at})
        print("read", size)  # noqa: T201 - as old sources do
        return rows


Stream = Numbers
CONFIG = {
    "title": "Numbers [of all kinds]",
    "icon": "data:image/png;base64,AAAA",
    "categories": ["DB", "APIS"],
    "params": [
        {"name": "tables", "type": "dynamic-list", "values": tables, "dependencies": ["schema"]},
        {"name": "schema", "type": "select", "values": schemas, "dependencies": ["hostName"]},
        {"name": "hostName", "title": "Host", "help": "See [the manual](https://example.org)", "required": True},
        {"name": "port", "type": "number", "default": "5432"},
        {"name": "password", "type": "password", "required": True},
        {"name": "rows", "type": "number"},
        {"name": "pause", "type": "number"},
        {"name": "tags", "type": "list"},
        {"name": "mode", "values": [{"name": "Full load", "value": "full"}, {"name": "Changes", "value": "inc"}]},
        {"name": "region", "type": "hidden", "default": "eu"},
        {"name": "limit", "help": "As ours is called"},
        {"name": "odd", "type": "googledrive"},
    ],
}
