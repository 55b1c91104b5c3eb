"""What works is told step by step, and a file is checked as a whole before it is uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cli.limits_scene import STRUCTURE, limit

from asyncconn import errors
from asyncconn.atoti_limits import LimitsValidationError
from asyncconn.atoti_limits.offline.csv_formats import write_limits, write_structures

from .scene import scene

if TYPE_CHECKING:
    from pathlib import Path

STEPS = ["session", "credential", "cubes", "Limits server", "known to Limits", "connected"]


async def test_every_step_is_told_before_and_after_connecting() -> None:
    async with scene() as pair, pair.client() as client:
        before = await client.status()
        await client.wait_connected(10)
        after = await client.status()

    assert [step.what for step in before.steps] == STEPS
    assert [step.ok for step in before.steps] == [True, True, True, True, False, False]
    assert (before.connected, after.connected) == (False, True)
    assert all(step.ok for step in after.steps)
    assert after.steps[2].found == "Cars_Cube: ok"


async def test_what_only_a_lost_session_could_tell_is_not_asked() -> None:
    async with scene() as pair, pair.client(session_url="http://127.0.0.1:1") as client:
        found = await client.status()

    assert [step.ok for step in found.steps] == [False, None, None, True, False, None]
    assert found.steps[-1].found == "not asked"


async def test_a_refused_credential_is_a_step_that_fails() -> None:
    async with scene() as pair, pair.client(auth=("admin", "made-up")) as client:
        found = await client.status()

    assert [step.ok for step in found.steps] == [True, False, None, True, None, None]
    assert "401" in found.steps[1].found
    assert "made-up" not in str(found)


async def test_what_only_a_lost_limits_server_could_tell_is_not_asked() -> None:
    async with scene() as pair, pair.client(limits_url="http://127.0.0.1:1") as client:
        found = await client.status()

    assert [step.ok for step in found.steps] == [True, True, True, False, None, False]


async def test_a_plan_knows_its_kind_and_rows_and_sends_nothing_before_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "structures.csv"
    path.write_text(write_structures([STRUCTURE]))
    async with scene() as pair, pair.client() as client:
        pair.limits.connect("atoti", pair.session.url)
        structures = await client.plan_upload(path)
        limits = await client.plan_upload(write_limits([limit("fiat", 1.5, "CarName=Fiat")]).encode())
        assert (structures.kind, structures.rows, limits.kind, limits.rows) == ("structures", 1, "limits", 1)
        assert not pair.limits.requests
        assert (await structures.run()).created == 1
        assert (await limits.run()).created == 1


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, LimitsValidationError, "3 problems"),
        ({"version": "1.1", "kind": "structures"}, errors.ConfigError, r"Limits 1\.1 has no structures"),
        ({"version": "new"}, errors.ConfigError, "not a version"),
    ],
)
async def test_every_fault_of_a_file_is_found_before_it_is_sent(how: Any, error: type[Exception], words: str) -> None:
    rows = write_limits([limit("fiat", 1.5, "CarName=Fiat"), limit("lada", 2, "CarName=Lada")])
    bad = rows.replace("2026-01-01", "1.1.2026").replace("1.5", "plenty").encode()
    async with scene() as pair, pair.client() as client:
        with pytest.raises(error, match=words):
            await client.plan_upload(bad, **how)
        assert (await client.plan_upload(bad, check=False)).rows is None
        with pytest.raises(errors.ConfigError, match="give the kind"):
            await client.plan_upload(b"a,b\n1,2\n")
        assert not pair.limits.requests
