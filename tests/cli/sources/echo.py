"""A source whose one row is what it was given."""

from __future__ import annotations

from typing import Any

import asyncconn.panoply as panoply


def regions(source: dict[str, Any]) -> list[str]:
    if source["hostName"] == "nowhere":
        raise ConnectionError("nobody is there")
    return [f"{source['hostName']}-{direction}" for direction in ("north", "south")]


async def shops(source: dict[str, Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"{source['region']} {number}", "value": number} for number in options.get("shops", [7, 8])]


class Stream(panoply.DataSource):
    def __init__(self, source: dict[str, Any], options: dict[str, Any]) -> None:
        super().__init__(source, options)
        self.rows: list[dict[str, Any]] | None = [{"source": dict(source), "options": dict(options)}]

    async def read(self, n: int | None = None) -> list[dict[str, Any]] | None:
        rows, self.rows = self.rows, None
        return rows


CONFIG = {
    "title": "Echo",
    "params": [
        {"name": "shops", "type": "dynamic-list", "values": shops, "dependencies": ["region"]},
        {"name": "region", "type": "select", "values": regions, "dependencies": ["hostName"]},
        {"name": "hostName", "required": True},
        {"name": "user", "required": True},
        {"name": "port", "type": "number", "default": "5432"},
        {"name": "ratio", "type": "number"},
        {"name": "tags", "type": "list"},
        {"name": "mode", "values": [{"name": "Full load", "value": "full"}, {"name": "Changes", "value": "inc"}]},
        {"name": "zone", "type": "hidden", "default": "eu"},
        {"name": "state", "help": "Called as one of ours"},
        {"name": "access_token", "type": "oauth"},
    ],
}
