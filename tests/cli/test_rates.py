"""The commands around rates that several processes share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from redis_scene import RedisServer, calls, limiter, redis_server

from asyncconn import Quota, Window
from asyncconn.cli.doctor.command import examined
from cli.commands import arun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncconn.cli.doctor.check import Check

pytestmark = [pytest.mark.service("redis"), pytest.mark.slow(60)]  # each command is a program

URL = "ASYNCCONN_REDIS_URL"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def test_rates_are_shown_and_forgotten(redis: RedisServer, tmp_path: Path) -> None:
    async with limiter(redis.url, Window(20, 60.0), Quota(100)) as one:
        await calls(one, 3)
    there = {URL: redis.url}
    shown = await arun(tmp_path, "rates", "show", "--redis", redis.url)
    rows = await arun(tmp_path, "rates", "show", "--format", "jsonl", env=there)
    another = await arun(tmp_path, "rates", "reset", "--platform", "another", env=there)
    forgotten = await arun(tmp_path, "rates", "reset", "--all", env=there)
    after = await arun(tmp_path, "rates", "show", env=there)

    assert (shown.status, forgotten.status, after.status) == (0, 0, 0), shown.text + forgotten.text
    assert "2 limits" in shown.out
    found = {one["part"]: one for one in map(json.loads, rows.out.splitlines())}
    assert {name: (one["platform"], one["limit"], one["used"]) for name, one in found.items()} == {
        "quota": ("acme", 100, 3),
        "window": ("acme", 20, 3),
    }
    assert "0 limits forgotten" in another.text
    assert "2 limits forgotten" in forgotten.text
    assert "no limits" in after.out


async def test_what_is_missing_or_does_not_answer_is_told(tmp_path: Path) -> None:
    unset = await arun(tmp_path, "rates", "show")
    whose = await arun(tmp_path, "rates", "reset", "--redis", "redis://127.0.0.1:1")
    gone = await arun(tmp_path, "rates", "show", "--redis", "redis://user:pa55word@127.0.0.1:1")

    assert (unset.status, whose.status, gone.status) == (2, 2, 1)
    assert URL in unset.err
    assert "--platform NAME, or --all" in whose.err
    assert "127.0.0.1:1 cannot be reached" in gone.err
    assert "pa55word" not in gone.text


async def test_doctor_looks_at_the_store(redis: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def looked(url: str) -> Check:
        monkeypatch.setenv(URL, url)
        [found] = [check for check in await examined(connect=False) if check.name == "shared rates"]
        return found

    monkeypatch.chdir(tmp_path)
    fit = await looked(redis.url)
    with redis_server("--maxmemory-policy", "allkeys-lru") as forgetful:
        unfit = await looked(forgetful.url)
    gone = await looked(forgetful.url)

    assert (fit.state, unfit.state, gone.state) == ("ok", "fail", "fail")
    assert "forgets nothing by itself" in fit.found
    assert "maxmemory-policy is allkeys-lru" in unfit.found
    assert "cannot be reached" in gone.found
    assert "is ASYNCCONN_REDIS_URL its address?" in gone.advice
