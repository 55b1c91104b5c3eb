"""Programs of the page about partitions do on a cluster what they do in one process, with nothing but ``client=``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from asyncconn.sandbox import Sandbox

from .cluster import cluster, environment
from .test_docs import Block, blocks

PAGE = Path(__file__).parents[2] / "docs" / "collect.md"
HERE = "asyncio.run(main())"
THERE = """
async def with_workers() -> None:
    import sys
    from distributed import Client

    async with Client(sys.argv[1], asynchronous=True, set_as_default=False) as client:
        await main(client)


asyncio.run(with_workers())
"""
#: What each collects with, by the folder that it fills.
FOLDERS = {'JsonLines("jobs")', 'JsonLines("queued")', 'Parquet("celsius")', 'JsonLines("flights")'}


def programs() -> list[Block]:
    """Those that take a client."""
    return [block for block in blocks(PAGE) if "def main(client: Any = None)" in block.text]


def _run(block: Block, folder: Path, address: str, settings: dict[str, str]) -> str:
    program = folder / f"program_{block.line}.py"
    program.write_text(block.text.replace(HERE, THERE), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(program), address]
    done = subprocess.run(
        command, cwd=folder, env={**environment(), **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout  # beside it Dask may complain of a slow machine


def test_each_kind_of_partition_has_a_program() -> None:
    told = [block.text for block in programs()]

    assert {folder for folder in FOLDERS for text in told if f"into={folder}, client=client" in text} == FOLDERS
    assert len(told) == len(FOLDERS)


@pytest.mark.service("dask")
@pytest.mark.slow(400)
async def test_each_program_prints_on_a_cluster_what_the_page_shows(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        workers = cluster(tmp_path, **sandbox.env)
        address = await asyncio.to_thread(workers.__enter__)
        try:
            told = {
                block.line: await asyncio.to_thread(_run, block, tmp_path, address, dict(sandbox.env))
                for block in programs()
            }
        finally:
            await asyncio.to_thread(workers.__exit__, None, None, None)

    assert told == {block.line: block.output for block in programs()}
