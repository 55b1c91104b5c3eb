"""A file of any size goes in flat memory, both ways."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

from .lake_scene import scene

MIB = 1024 * 1024
FLAT = 32 * 1024  # kilobytes: a chunk of 8 MiB, its copy on the way, and what the allocator keeps
SLOW = "ASYNCCONN_TEST_SLOW"  # a variable

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc"),
    pytest.mark.slow(600),
]
sizes = pytest.mark.parametrize(
    "size",
    [
        pytest.param(256 * MIB, id="256 MiB"),
        pytest.param(
            2048 * MIB,
            id="2 GiB",
            marks=pytest.mark.skipif(not os.environ.get(SLOW), reason=f"takes minutes: set {SLOW}=1"),
        ),
    ],
)


async def run(*arguments: str) -> int:
    """Kilobytes more than before, in a process of its own: the sandbox's are not the client's."""
    script = str(Path(__file__).with_name("transfer_memory.py"))
    child = await asyncio.create_subprocess_exec(
        sys.executable, script, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, err.decode()
    before, most = map(int, out.split())
    return most - before


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@sizes
@pytest.mark.parametrize("way", ["up", "chunks"])
async def test_an_upload_takes_little_memory(way: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        for start in range(0, size, MIB):  # no two pieces alike, and most of it a hole
            file.seek(start)
            file.write(start.to_bytes(8, "big"))
        file.truncate(size)
    async with scene() as s:
        more = await run(way, s.world.url, s.world.api_key, str(path))
        stored = s.dls.stored("user1/dlsadmin/f")
        assert (stored.size, stored.sha256) == (size, await asyncio.to_thread(digest, path))
    assert more < FLAT


@sizes
async def test_a_download_takes_little_memory(size: int, tmp_path: Path) -> None:
    async with scene() as s:
        uri = s.dls.generate("f", size)
        await s.lake.upload(b"", filename="first")
        more = await run("down", s.world.url, s.world.api_key, str(tmp_path / "f"), uri)
        assert await asyncio.to_thread(digest, tmp_path / "f") == s.dls.stored(uri).sha256
    assert more < FLAT
