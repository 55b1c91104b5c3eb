"""Files that come from the data lake: gone on with, never mixed of two, never half there. Contract: tcup 6.4."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Progress
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConfigError, Conflict, ConnectionLost, NotFound, ProtocolError
from asyncconn.sandbox import Fault

from .lake_scene import scene

if TYPE_CHECKING:
    from pathlib import Path

FETCHED = "GET /dls/file"
DATA = random.Random(3).randbytes(1_500_000)
OTHER = random.Random(4).randbytes(1_500_000)
PATIENT = RetryPolicy(attempts=9, deadline=600.0)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def test_a_file_comes_whole_and_tells_how_far_it_is(tmp_path: Path) -> None:
    heard: list[Progress] = []
    async with scene() as s:
        uri = await s.lake.upload(DATA, filename="a.bin")
        path = await s.lake.download(uri, tmp_path / "b.bin", on_progress=heard.append)
        assert await s.lake.download(uri, tmp_path) == tmp_path / "a.bin"
        async with s.lake.stream(uri) as came:
            assert b"".join([chunk async for chunk in came]) == DATA
    assert path.read_bytes() == (tmp_path / "a.bin").read_bytes() == DATA
    assert (heard[0].done, heard[-1].done, heard[-1].total) == (0, len(DATA), len(DATA))
    assert names(tmp_path) == ["a.bin", "b.bin"]


@pytest.mark.parametrize("seed", range(8))
async def test_one_that_is_cut_at_random_goes_on_where_it_was(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    heard: list[int] = []
    async with scene(cuts=[chance.randrange(600_000) for _ in range(6)], retry=PATIENT) as s:
        uri = s.dls.generate("a.bin", len(DATA), seed=seed)
        path = await s.lake.download(uri, tmp_path / "a.bin", on_progress=lambda now: heard.append(now.done))
        assert path.read_bytes() == s.content(uri)
    assert heard == sorted(heard)
    assert names(tmp_path) == ["a.bin"]


async def test_a_partial_file_never_has_the_final_name_and_is_gone_on_with_later(tmp_path: Path) -> None:
    to = tmp_path / "a.bin"
    once = RetryPolicy(attempts=1)
    async with scene(cuts=[900_000], retry=once) as s:
        uri = s.dls.generate("a.bin", len(DATA))
        with pytest.raises(ConnectionLost):
            await s.lake.download(uri, to)
        assert names(tmp_path) == ["a.bin.part", "a.bin.part.note"]
        half = (tmp_path / "a.bin.part").stat().st_size
        assert 0 < half < len(DATA)
        heard: list[int] = []
        await s.lake.download(uri, to, on_progress=lambda now: heard.append(now.done))
        assert to.read_bytes() == s.content(uri)
    assert heard[0] == half
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("cut", [300_000, 800_000, 1_200_000])
async def test_a_file_that_changed_meanwhile_begins_anew(cut: int, tmp_path: Path) -> None:
    to = tmp_path / "a.bin"
    async with scene(retry=RetryPolicy(attempts=1)) as s:
        uri = await s.lake.upload(DATA, filename="a.bin")
        s.fail(Fault("half_body", match="/dls/file"))
        with pytest.raises(ConnectionLost):
            await s.lake.download(uri, to)
        assert (tmp_path / "a.bin.part").stat().st_size > 0
        await s.lake.upload(OTHER, filename="a.bin", mode="OVERWRITE")
        await s.lake.download(uri, to)
    assert to.read_bytes() == OTHER
    assert names(tmp_path) == ["a.bin"]


async def test_one_that_breaks_off_within_a_call_and_changes_is_the_new_one(tmp_path: Path) -> None:
    async with scene(Fault("half_body", match="/dls/file")) as s:
        uri = s.dls.generate("a.bin", len(DATA), seed=1)

        def changed(now: Progress) -> None:
            if now.done:
                s.dls.generate("a.bin", len(DATA), seed=2)

        path = await s.lake.download(uri, tmp_path / "a.bin", on_progress=changed)
        assert path.read_bytes() == s.content(uri)
        assert s.calls(FETCHED) > 1


async def test_several_files_go_into_a_folder(tmp_path: Path) -> None:
    async with scene() as s:
        uris = [await s.lake.upload(name.encode(), filename=name) for name in ("a.txt", "b.txt")]
        found = await s.lake.download(uris, tmp_path)
        assert found == {uri: tmp_path / uri[-5:] for uri in uris}
        assert (tmp_path / "b.txt").read_text() == "b.txt"

        twin = await s.lake.upload(b"", filename="a.txt", savepoint="sp1")
        fetched = s.calls(FETCHED)
        with pytest.raises(ConfigError, match="one name"):
            await s.lake.download([uris[0], twin], tmp_path)
        with pytest.raises(ConfigError, match="no folder"):
            await s.lake.download(uris, tmp_path / "a.txt")
        assert s.calls(FETCHED) == fetched


@pytest.mark.parametrize(
    "uri", ["../../etc/passwd", "user1/dlsadmin/..", "/", "a&file-uri=b", "a#b?c=d", "a%2e%2e/b", "..\\..\\x", "ä b"]
)
async def test_a_trick_in_a_uri_is_a_uri_that_nobody_has(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    async with scene() as s:
        with pytest.raises(NotFound):
            await s.lake.download(uri, folder)
        with pytest.raises(NotFound):
            await s.lake.delete(uri)
        with pytest.raises(NotFound):
            await s.lake.get(uri)
        assert s.calls(FETCHED) == 1
    assert names(tmp_path) == ["in"]
    assert names(folder) == []


@pytest.mark.parametrize("uri", ["", "a\r\nb", "\0", [None]])
async def test_what_is_no_uri_is_refused(uri: Any, tmp_path: Path) -> None:
    async with scene() as s:
        with pytest.raises(ConfigError, match="file-uri"):
            await s.lake.download(uri, tmp_path)
        assert s.calls() == 0


async def test_a_file_without_content_is_a_conflict(tmp_path: Path) -> None:
    async with scene() as s:
        await s.tcup.call("files.announce", params={"filename": "a.bin", "sizeInBytes": 5}, data=_empty_form)
        with pytest.raises(Conflict):
            await s.lake.download("user1/dlsadmin/a.bin", tmp_path / "a.bin")
    assert names(tmp_path) == []


def _empty_form() -> Any:
    import aiohttp

    form = aiohttp.FormData()
    form.add_field("comment", "to come", content_type="text/plain")
    return form


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"x,y\n1,a\n2,b\n"),
        ("a.TXT", b"x,y\n1,a\n2,b\n"),
        ("a.tsv", b"x\ty\n1\ta\n2\tb\n"),
        ("a.json", b'[{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]'),
    ],
)
async def test_a_frame_is_read_by_the_suffix(name: str, content: bytes) -> None:
    async with scene() as s:
        uri = await s.lake.upload(content, filename=name)
        frame = await s.lake.frame(uri)
        assert frame.to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}
        both = await s.lake.frame([uri])
        assert both[uri].equals(frame)


async def test_a_frame_takes_the_options_of_its_reader() -> None:
    async with scene() as s:
        uri = await s.lake.upload(b"x;y\n01;2\n", filename="a.csv")
        frame = await s.lake.frame(uri, sep=";", dtype=str)
        assert frame.to_dict("list") == {"x": ["01"], "y": ["2"]}


async def test_what_is_no_table_is_refused_before_it_is_fetched() -> None:
    async with scene() as s:
        uri = await s.lake.upload(b"x", filename="a.csv")
        every: tuple[Any, ...] = ("user1/a.bin", "user1/csv", [uri, "a.pdf"])
        for wrong in every:
            with pytest.raises(ConfigError, match="no table"):
                await s.lake.frame(wrong)
        assert s.calls(FETCHED) == 0


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", b""), ("a.json", b"{"), ("a.csv", b'x,y\n1\n"'), ("a.csv", b"\xff\xfe\xfa")]
)
async def test_a_file_that_is_not_what_it_calls_itself_is_a_protocol_error(name: str, content: bytes) -> None:
    async with scene() as s:
        uri = await s.lake.upload(content, filename=name)
        with pytest.raises(ProtocolError, match="cannot be read"):
            await s.lake.frame(uri)
