"""examples/acme.py as its users run it: a process of its own, before a server that keeps the platform's rules."""

from __future__ import annotations

import ast
import asyncio
import json
import os
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from loopback import DROP, Reply, saying
from warm import STRICT, python

import asyncconn

from .acme_server import POINTS, TOKEN, Acme

pytestmark = pytest.mark.usefixtures("warm_strict")

PROGRAM = Path(__file__).parents[2] / "examples" / "acme.py"
MOST_LINES = 35
MOST_CALLS = 46


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def run(acme: Acme, folder: Path, *args: str, token: str = TOKEN) -> Ended:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCONN_")}
    process = await asyncio.create_subprocess_exec(
        *python(str(PROGRAM), *args, flags=STRICT),
        cwd=folder,
        env={
            **clean,
            "PYTHONPATH": str(Path(asyncconn.__file__).parents[1]),
            "ACME_URL": acme.url,
            "ACME_TOKEN": token,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def points_in(folder: Path, count: int = POINTS) -> str:
    lines = (json.dumps({"id": number, "series": f"s{number % 7}", "value": number / 7}) for number in range(count))
    (folder / "points.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "points.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_is_short() -> None:
    text = PROGRAM.read_text(encoding="utf-8")
    after = ast.parse(text).body[0].end_lineno or 0  # the docstring
    lines = [line.strip() for line in text.splitlines()[after:]]

    assert len([line for line in lines if line and not line.startswith("#")]) <= MOST_LINES


async def test_the_plan_is_one_call(tmp_path: Path) -> None:
    async with Acme() as acme:
        assert await run(acme, tmp_path, "plan") == Ended(0, "{'plan': 'small'}\n", "")
        assert acme.calls.total() == 1


async def test_a_wrong_token_is_told_and_not_shown(tmp_path: Path) -> None:
    async with Acme() as acme:
        ended = await run(acme, tmp_path, "plan", token="s3cret-and-wrong")

    assert ended.code == 1
    assert "Unauthorized: acme answered 401 who are you?" in ended.err
    assert "s3cret-and-wrong" not in ended.err


@pytest.mark.parametrize("form", ["jsonl", "csv", "csv.gz"])
@pytest.mark.parametrize("absolute", [False, True])
async def test_all_series_and_the_export_are_saved(form: str, absolute: bool, tmp_path: Path) -> None:
    async with Acme(form=form, absolute=absolute) as acme:
        assert await run(acme, tmp_path, "read") == Ended(0, "", "")

        assert [row["id"] for row in rows_of(tmp_path / "series.jsonl")] == list(range(acme.series))
        assert rows_of(tmp_path / "export.jsonl") == acme.export
        assert acme.refused == 0


async def test_more_pages_than_a_second_may_see_are_read_without_a_refusal(tmp_path: Path) -> None:
    async with Acme(series=4_500) as acme:
        assert (await run(acme, tmp_path, "read")).code == 0

        assert len(rows_of(tmp_path / "series.jsonl")) == 4_500
        assert acme.refused == 0


async def test_trouble_while_reading_is_gone_through(tmp_path: Path) -> None:
    nothing_done = saying({"error": {"message": "not now"}}, 503)
    in_a_200 = saying({"error": {"code": "gone", "message": "the export was removed"}})
    faults: dict[str, deque[Reply | str]] = {
        "/v1/series": deque([nothing_done, DROP, nothing_done]),
        "/v1/exports": deque([nothing_done]),
        "/v1/exports/7": deque([DROP]),
        "/files/7.csv": deque([DROP, nothing_done]),
    }
    async with Acme(form="csv", faults=faults) as acme:
        assert await run(acme, tmp_path, "read") == Ended(0, "", "")
        assert [row["id"] for row in rows_of(tmp_path / "series.jsonl")] == list(range(acme.series))
        assert rows_of(tmp_path / "export.jsonl") == acme.export

    async with Acme(faults={"/files/7.jsonl": deque([in_a_200])}) as acme:
        ended = await run(acme, tmp_path, "read")
        assert ended.code == 1
        assert "the export was removed" in ended.err
        assert len(rows_of(tmp_path / "export.jsonl")) == 1_000  # as it was


@pytest.mark.slow(40)
@pytest.mark.parametrize("slow", [0.0, 0.2])
async def test_every_point_is_stored_once_in_few_calls(slow: float, tmp_path: Path) -> None:
    bad = {5, 10_000, 19_999}
    async with Acme(slow=slow, busy=set(range(7, POINTS, 1_000)), bad=set(bad)) as acme:
        ended = await run(acme, tmp_path, "write", points_in(tmp_path))

        assert (ended.code, ended.err) == (0, "")
        assert sorted(ended.out.splitlines()) == sorted(f"rejected {number} no such series" for number in bad)
        assert acme.stored == dict.fromkeys(set(range(POINTS)) - bad, 1)
        assert acme.refused == 0
        assert acme.calls["/v1/points"] <= MOST_CALLS


async def test_what_surely_was_not_done_is_done_again(tmp_path: Path) -> None:
    nothing_done = saying({"error": {"message": "not now"}}, 503)
    async with Acme(faults={"/v1/points": deque([nothing_done, nothing_done])}) as acme:
        assert await run(acme, tmp_path, "write", points_in(tmp_path, 2_000)) == Ended(0, "", "")
        assert acme.stored == dict.fromkeys(range(2_000), 1)


async def test_what_may_have_been_stored_is_not_sent_again_and_heard_of(tmp_path: Path) -> None:
    """The server stores the batch and the connection is cut: the program cannot know, and must not repeat."""
    async with Acme(faults={"/v1/points": deque(["cut"])}) as acme:
        ended = await run(acme, tmp_path, "write", points_in(tmp_path, 2_000))

        assert acme.stored == dict.fromkeys(range(2_000), 1)
        assert ended.code == 1  # warnings are errors here; elsewhere it is a line on stderr
        assert "UndeliveredWarning: the hub closed with 500 lost records that nobody was told of" in ended.err
        assert "acme.points: 500 records were not delivered: ConnectionLost" in ended.err


async def test_points_that_are_large_go_by_their_bytes(tmp_path: Path) -> None:
    lines = (json.dumps({"id": number, "note": "ü" * 2_000}) for number in range(600))
    (tmp_path / "points.jsonl").write_text("\n".join(lines), encoding="utf-8")
    async with Acme() as acme:
        assert await run(acme, tmp_path, "write", "points.jsonl") == Ended(0, "", "")
        assert acme.stored == dict.fromkeys(range(600), 1)
