"""Snapshots: pyDatorama's files, in a directory of the user's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub
from asyncconn.errors import ConfigError

from .bulk.scene import client, scene

if TYPE_CHECKING:
    from pathlib import Path


async def test_everything_is_saved_as_it_came_in_the_files_of_pydatorama(tmp_path: Path) -> None:
    async with scene(workspaces=2, streams=3, jobs=2) as here:
        save = here.client.snapshots
        folder = tmp_path / "made" / "for it"
        spaces = (await here.client.workspaces.list()).items
        streams, jobs = await here.client.fetch_all_streams(), await here.client.fetch_all_jobs()

        await save.save_workspaces(folder, spaces)
        await save.save_streams(folder, streams)
        written = await save.save_jobs(folder, jobs)

        names = {path.name for path in folder.iterdir()}
        assert names == {
            "spaces.json",
            *(f"{number}_streams.json" for number in here.world.workspaces),
            *(f"{number}_jobs.json" for number in here.streams),
        }
        assert {path.name for path in written} == {f"{number}_jobs.json" for number in here.streams}
        assert json.loads((folder / "spaces.json").read_text()) == list(here.world.workspaces.values())
        kept = json.loads((folder / f"{here.streams[0]}_jobs.json").read_text())
        assert [job["id"] for job in kept] == [stat.id for stat in here.world.stats_of[here.streams[0]]]


async def test_what_is_restored_is_bound_to_the_client_and_usable_without_a_call(tmp_path: Path) -> None:
    async with scene(workspaces=2, streams=4, jobs=2, file_every=2, outcomes={"SUCCESS": 1.0}) as here:
        spaces = (await here.client.workspaces.list()).items
        await here.client.snapshots.save_workspaces(tmp_path, spaces)
        await here.client.snapshots.save_streams(tmp_path, await here.client.fetch_all_streams())
        await here.client.snapshots.save_jobs(tmp_path, await here.client.fetch_all_jobs())
        here.mark()
        async with Hub() as hub:
            other = client(here.sandbox, hub)
            restored = await other.snapshots.restore_workspaces(tmp_path)
            streams = await other.snapshots.restore_streams(tmp_path)
            jobs = await other.snapshots.restore_jobs(tmp_path)
            assert here.calls() == 0

            assert [one.raw for one in restored] == [one.raw for one in spaces]
            assert [one.id for one in streams] == here.streams
            assert [job.stream.id for job in jobs] == [number for number in here.streams for _ in range(2)]
            assert (await other.process_streams(here.streams[0], "2026-01-01", "2026-01-02", max_pending=None)).ok
            assert here.calls() == 1
            assert len(await streams[0].jobs().collect()) == 3
            assert (await jobs[0].download(tmp_path)).exists()


async def test_some_can_be_restored_and_what_is_missing_is_named(tmp_path: Path) -> None:
    async with scene(workspaces=2, streams=4, jobs=1) as here:
        await here.client.snapshots.save_streams(tmp_path, await here.client.fetch_all_streams())
        await here.client.snapshots.save_jobs(tmp_path, await here.client.fetch_all_jobs())
        snapshots = here.client.snapshots

        assert {one.workspace_id for one in await snapshots.restore_streams(tmp_path, [41_002])} == {41_002}
        assert len(await snapshots.restore_jobs(tmp_path, here.streams[:1])) == 1
        with pytest.raises(ConfigError, match=r"41009_streams\.json"):
            await snapshots.restore_streams(tmp_path, [41_001, 41_009])
        with pytest.raises(ConfigError, match=r"spaces\.json"):
            await snapshots.restore_workspaces(tmp_path)
        with pytest.raises(ConfigError, match="no directory"):
            await snapshots.restore_jobs(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"[{", b'{"id": 1}', b'["x"]', b'[{"name": "no id"}]', b"\x00\xff"])
async def test_a_damaged_file_is_named_and_nothing_is_guessed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "7_jobs.json").write_bytes(content)
    async with scene(streams=1) as here:
        with pytest.raises(ConfigError, match=r"7_jobs\.json is damaged"):
            await here.client.snapshots.restore_jobs(tmp_path)


async def test_streams_and_workspaces_without_anything_have_their_file(tmp_path: Path) -> None:
    async with scene(workspaces=2, streams=1, jobs=0) as here:
        await here.client.snapshots.save_streams(tmp_path, await here.client.fetch_all_streams())
        await here.client.snapshots.save_jobs(tmp_path, await here.client.fetch_all_jobs())

        empty = [path.name for path in tmp_path.iterdir() if path.read_bytes() == b"[]"]
        assert len(empty) == 2
        assert await here.client.snapshots.restore_jobs(tmp_path) == []


async def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(streams=1) as here:
        spaces = (await here.client.workspaces.list()).items
        [path] = await here.client.snapshots.save_workspaces(tmp_path, spaces)
        before = path.read_bytes()

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            await here.client.snapshots.save_workspaces(tmp_path, spaces * 2)

        assert path.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir()] == ["spaces.json"]


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with scene(streams=1) as here:
        with pytest.raises(ConfigError, match="cannot be written"):
            await here.client.snapshots.save_workspaces(tmp_path / "file", (await here.client.workspaces.list()).items)
