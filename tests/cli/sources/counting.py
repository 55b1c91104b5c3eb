"""A source that counts: state, progress, a password, and output as old sources have it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import asyncconn.panoply as panoply


class Counting(panoply.DataSource):
    def __init__(self, source: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(source, options)
        self.at = source.get("state", {}).get("at", 0)
        self.total = int(source["rows"])
        if source["mode"] == "broken":
            raise RuntimeError(f"cannot log in with {source['password']}")

    def read(self, n: int | None = None) -> list[dict[str, Any]] | None:
        if self.at >= self.total:
            return None
        if self.source["mode"] == "failing" and self.at:
            raise panoply.PanoplyException(f"refused {self.source['password']}", retryable=False)
        size = min(n or 2, self.total - self.at)
        state_id = str(uuid.uuid4())
        rows = [{"id": f"{i}", "half": "ab"[i % 2], "__state": state_id} for i in range(self.at, self.at + size)]
        time.sleep(float(self.source.get("pause") or 0))
        self.at += size
        self.progress(self.at, self.total, f"{self.at} of [{self.total}]\x1b[2J")
        self.state(state_id, {"at": self.at})
        print("an old source prints")  # noqa: T201 - that is what it is here for
        return rows


Stream = Counting
CONFIG = {
    "title": "Counting [of all kinds]",
    "icon": "data:image/png;base64,AAAA",
    "categories": ["DB", "APIS"],
    "params": [
        {
            "name": "rows",
            "title": "How many",
            "type": "number",
            "default": "5",
            "help": "See [docs](https://a.example)",
        },
        {"name": "password", "type": "password", "required": True, "default": ""},
        {"name": "mode", "type": "select", "values": ["plain", "failing", "broken"], "default": "plain"},
        {"name": "pause", "type": "number", "category": "advanced"},
    ],
}
