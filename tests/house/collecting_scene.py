"""Partitions with some rows each, and what to look for in a folder of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncconn import Hub, JsonLines

Row = dict[str, Any]
LAYOUTS = ["partition", "batch"]


def rows_of(partition: int) -> list[Row]:
    """0 to 2 of them."""
    return [{"id": f"{partition}.{number}", "of": partition} for number in range(partition % 3)]


def all_rows(partitions: range) -> list[str]:
    return sorted(row["id"] for partition in partitions for row in rows_of(partition))


async def numbers(hub: Hub, partition: int) -> AsyncIterator[Row]:
    for row in rows_of(partition):
        yield row


async def of_a_coroutine(hub: Hub, partition: int) -> list[Row]:
    return rows_of(partition)


async def found_in(sink: JsonLines) -> list[str]:
    return sorted([row["id"] async for row in sink.rows()])


def unfinished(folder: Path) -> list[Path]:
    """Files under hidden names: what was being written."""
    return [path for path in folder.rglob(".*") if path.is_file()]
