"""The commands around rates that several processes share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from redis_scene import RedisServer, calls, limiter, redis_server

from asyncconn import Quota, Window
from cli.commands import arun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


async def test_doctor_looks_at_the_store(redis: RedisServer, tmp_path: Path) -> None:
    fit = await arun(tmp_path, "doctor", env={URL: redis.url})
    with redis_server("--maxmemory-policy", "allkeys-lru") as forgetful:
        unfit = await arun(tmp_path, "doctor", env={URL: forgetful.url})
    gone = await arun(tmp_path, "doctor", env={URL: forgetful.url})

    assert (fit.status, unfit.status, gone.status) == (0, 1, 1), fit.text
    said = [" ".join(one.out.split()) for one in (fit, unfit, gone)]
    assert "forgets nothing by itself" in said[0]
    assert "maxmemory-policy is allkeys-lru" in said[1]
    assert "cannot be reached" in said[2]
