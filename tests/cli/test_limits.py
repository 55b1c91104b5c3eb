"""The Atoti Limits commands connect, tell why not, and manage what a Limits server has."""

from __future__ import annotations

import asyncio
import csv
import json
import shlex
from typing import TYPE_CHECKING

import pytest

from cli.commands import arun, run, started
from cli.limits_scene import DAY, scene

if TYPE_CHECKING:
    from pathlib import Path


# -- connecting --------------------------------------------------------------------------------------------------------


async def test_connect_waits_until_both_are_connected_and_status_says_so(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        before = await limits("status")
        assert before.status == 1
        ended = await limits("connect", "--wait", "--timeout", "10")
        assert (ended.status, ended.err) == (0, ""), ended.text
        assert ended.out.startswith("connected after ")
        assert limits.sandbox.atoti_limits.session.connected
        after = await limits("status", "--output", "status.json")
        assert after.status == 0, after.text

    found = {row["what"]: row for row in json.loads((tmp_path / "status.json").read_text())}
    assert {name: row["ok"] for name, row in found.items()} == dict.fromkeys(
        ("session", "credential", "cubes", "Limits server", "known to Limits", "connected"), True
    )
    assert found["cubes"]["found"] == "Cars_Cube: ok"


@pytest.mark.parametrize("generation", ["1", "2"])
async def test_connect_waits_for_a_session_of_an_older_generation(tmp_path: Path, generation: str) -> None:
    async with scene(tmp_path, generation=int(generation), base_path="/foo/bar") as limits:
        ended = await limits("connect", "--wait", "--generation", generation, "--timeout", "10")

    assert ended.status == 0, ended.text


async def test_connect_without_wait_only_asks(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"never_connects": True}) as limits:
        ended = await limits("connect")

    assert ended.status == 0, ended.text
    assert ended.out.startswith("asked http://")


def test_a_session_that_connects_by_itself_can_only_be_waited_for(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "connect", "--generation", "1")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.rstrip().endswith("use --wait")


async def test_a_dry_run_of_connect_looks_and_asks_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        ended = await limits("connect", "--wait", "--dry-run", "--server-name", "cars")
        paths = [arrival.path for arrival in limits.sandbox.atoti_limits.session.arrivals]

    assert ended.status == 0, ended.text
    assert "as 'cars'; nothing was asked" in ended.out
    assert any(path.endswith("/cube/discovery") for path in paths)
    assert not [path for path in paths if "autoconfig" in path]


async def test_a_wait_in_vain_lists_the_causes_that_are_not_excluded(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"wrong_jwt_key": True}) as limits:
        ended = await limits("connect", "--wait", "--timeout", "0.7")

    assert (ended.status, ended.out) == (1, "")
    first, title, *causes = ended.err.splitlines()
    assert first.startswith("error: not connected after 0.7 s; last answer False after ")
    assert title == "Not excluded as the cause:"
    assert all(cause.startswith("  - ") for cause in causes)
    assert any("different JWT key pairs" in cause for cause in causes)
    assert not any("slicing" in cause for cause in causes)


async def test_connect_to_a_cube_without_a_slicing_hierarchy_says_what_to_do(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"slicing": "missing"}) as limits:
        ended = await limits("connect", "--wait")
        asked = await limits("connect", "--no-preflight", "--wait", "--timeout", "0.5")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: cube 'Cars_Cube'")
    assert "slicing = True" in ended.err
    assert any("slicing" in line for line in asked.err.splitlines()[2:])


async def test_a_doubtful_hierarchy_is_a_warning(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"slicing": "ambiguous"}) as limits:
        ended = await limits("connect", "--wait", "--timeout", "10")

    assert ended.status == 0, ended.text
    assert ended.err.startswith("warning: cube 'Cars_Cube'")


async def test_an_error_is_shown_with_the_path_that_was_called(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"extension_loaded": False}) as limits:
        asked = await limits("connect", "--no-preflight")
        seen = await limits("status", "--format", "json")

    entry = "[path table: autoconfig.connect = POST /limits/autoconfig/connect]"
    assert (asked.status, asked.err.count("\n")) == (1, 1)
    assert asked.err.endswith(f"{entry}\n")
    assert "[path table: autoconfig.connected = GET " in json.loads(seen.out)[-1]["found"]


async def test_status_tells_which_server_is_away(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        ended = await limits("status", "--session-url", "http://127.0.0.1:1", "--format", "json")

    assert ended.status == 1
    states = {row["what"]: row["ok"] for row in json.loads(ended.out)}
    assert states == {
        "session": False, "credential": None, "cubes": None, "Limits server": True, "known to Limits": False,
        "connected": None,
    }  # fmt: skip


@pytest.mark.parametrize(("slicing", "status"), [("ok", 0), ("ambiguous", 0), ("unverified", 0), ("missing", 1)])
async def test_check_cube_ends_with_one_only_when_the_hierarchy_is_missing(
    tmp_path: Path, slicing: str, status: int
) -> None:
    async with scene(tmp_path, session={"slicing": slicing}) as limits:
        ended = await limits("check-cube", "--format", "json")

    assert ended.status == status, ended.text
    assert [(row["cube"], row["status"]) for row in json.loads(ended.out)] == [("Cars_Cube", slicing)]


async def test_check_cube_without_a_cube_ends_with_one(tmp_path: Path) -> None:
    async with scene(tmp_path, session={"cubes": []}) as limits:
        ended = await limits("check-cube")

    assert (ended.status, ended.out) == (1, "no cubes\n")


async def test_the_sandbox_command_plays_both_servers(tmp_path: Path) -> None:
    async with started(tmp_path, "sandbox", "--atoti-limits", "2") as sandbox:
        assert sandbox.stdout is not None
        shown = await asyncio.wait_for(sandbox.stdout.readuntil(b"\n\n"), 10)
        lines = [shlex.split(line) for line in shown.decode().splitlines()]
        env = dict(line[1].split("=", 1) for line in lines if line and line[0] == "export")
        ended = await arun(tmp_path, "limits", "connect", "--wait", "--generation", "2", "--timeout", "8", env=env)

    assert ended.status == 0, ended.text


# -- the user ----------------------------------------------------------------------------------------------------------


async def test_a_wrong_password_is_one_line_that_does_not_repeat_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        ended = await limits("check-cube", env={"ASYNCCONN_ATOTI_LIMITS_PASSWORD": "wrong-made-up"})
        status = await limits("status", env={"ASYNCCONN_ATOTI_LIMITS_PASSWORD": "wrong-made-up"})

    assert (ended.status, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "401" in ended.err
    assert "wrong-made-up" not in ended.text + status.text


async def test_another_user_needs_a_password_of_their_own(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        refused = await limits("structures", "--user", "readonly")
        own = {"ASYNCCONN_ATOTI_LIMITS_USER": "readonly", "ASYNCCONN_ATOTI_LIMITS_PASSWORD": "readonly"}
        ended = await limits("structures", "--user", "readonly", env=own)

    assert refused.status == 2
    assert refused.err == "error: the password of readonly is not known: set it with its user in the environment\n"
    assert (ended.status, ended.out) == (0, "no structures\n"), ended.text


async def test_a_user_without_the_role_is_told_so(tmp_path: Path) -> None:
    readonly = {"ASYNCCONN_ATOTI_LIMITS_USER": "readonly", "ASYNCCONN_ATOTI_LIMITS_PASSWORD": "readonly"}
    async with scene(tmp_path) as limits:
        await limits.connected()
        ended = await limits("upload", "structures.csv", env=readonly)

    assert (ended.status, ended.out) == (1, "")
    assert "403" in ended.err
    assert "role" in ended.err


# -- structures, limits, incidents -------------------------------------------------------------------------------------


async def test_files_are_uploaded_listed_evaluated_and_their_breach_is_an_incident(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        await limits.filled()
        structures = await limits("structures", "--cube", "Cars_Cube", "--format", "json")
        listed = await limits("limits", "--structure", "price", "--alive", "--output", "limits.json")
        evaluated = await limits("evaluate", "--date", DAY, "--output", "found.csv")
        incidents = await limits("incidents", "--type", "BREACH", "--date", DAY, "--format", "json")
        screen = await limits("incidents")
        strange = await limits("limits", "--status", "nonsense"), await limits("incidents", "--status", "Foo")
        nowhere = await limits("limits", "--structure", "none", "--status", "nonsense")

    assert all(one.status == 0 for one in (structures, listed, evaluated, incidents, screen)), evaluated.text
    [structure] = json.loads(structures.out)
    assert (structure["structureId"], structure["warningThreshold"]) == ("price", 80)
    found = {one["limitId"]: one["limitStatus"] for one in json.loads((tmp_path / "limits.json").read_text())}
    assert found == {"fiat": "APPROVED", "lada": "APPROVED"}
    with (tmp_path / "found.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["Limit ID"], row["Incident Type"], row["Measure Value"]) for row in rows] == [
        ("fiat", "BREACH", "24100.0")
    ]
    assert [(one["limitId"], one["measureValue"]) for one in json.loads(incidents.out)] == [("fiat", 24100)]
    assert "BREACH" in screen.out
    assert screen.out.rstrip().endswith("1 incident")
    assert [(one.status, one.out, one.err) for one in (*strange, nowhere)] == [
        (0, "no limits\n", "no limit has the status 'nonsense'; they have APPROVED\n"),
        (0, "no incidents\n", "no incident has the status 'Foo'; they have Breach\n"),
        (0, "no limits\n", ""),
    ]


async def test_only_the_named_limits_are_evaluated(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        await limits.filled()
        lada = await limits("evaluate", "--limit", "lada", "--date", DAY)
        price = await limits("evaluate", "--structure", "price", "--date", DAY, "--format", "json")
        both = await limits("evaluate", "--limit", "lada", "--structure", "price")

    assert (lada.status, lada.out) == (0, "no findings\n")
    assert [row["Limit ID"] for row in json.loads(price.out)] == ["fiat"]
    assert both.status == 2


async def test_dry_runs_send_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        ended = [await limits("upload", "limits.csv", "--dry-run"), await limits("evaluate", "--dry-run")]
        arrived = list(limits.sandbox.atoti_limits.limits.arrivals)

    assert [one.status for one in ended] == [0, 0]
    assert ended[0].out == "limits.csv: 2 limits without a fault; nothing was sent\n"
    assert ended[1].out == "would evaluate all limits for the day that the server is set to; nothing was sent\n"
    assert not arrived


async def test_a_file_with_faults_is_listed_and_not_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        rows = (tmp_path / "limits.csv").read_text().replace("2026-01-01", "1.1.2026").replace("20000", "plenty")
        (tmp_path / "bad.csv").write_text(rows)
        ended = await limits("upload", "bad.csv")
        arrived = list(limits.sandbox.atoti_limits.limits.arrivals)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines()[:2] == [
        "error: bad.csv: limits: 3 problems; nothing was sent",
        "What is wrong (the header is row 1):",
    ]
    assert "  - row 2, Limit Value: 'plenty' is not a number such as 100000.5" in ended.err.splitlines()
    assert not arrived


async def test_what_the_server_refuses_is_listed_with_status_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        await limits.connected()
        ended = await limits("upload", "limits.csv", "--no-check")

    assert (ended.status, ended.out) == (1, "")
    assert "there is no structure price" in ended.err
    assert "nothing was sent" not in ended.err


async def test_a_file_of_an_older_format_needs_its_version(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        old = (tmp_path / "limits.csv").read_text().replace("Limit Value", "Limit Values")
        (tmp_path / "old.csv").write_text(old)
        refused = await limits("upload", "old.csv", "--dry-run")
        taken = await limits("upload", "old.csv", "--dry-run", "--limits-version", "4.1")

    assert refused.status == 2
    assert "'Limit Values' is its name in another version" in refused.err
    assert taken.status == 0, taken.text


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_a_file_whose_columns_say_nothing_needs_a_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "what.csv").write_text(text)

    ended = run(tmp_path, "limits", "upload", "what.csv", "--dry-run")

    assert ended.status == 2
    assert ended.err.rstrip().endswith("give the kind")


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "upload", "none.csv")

    assert ended.status == 2
    assert ended.err == "error: none.csv cannot be read: No such file or directory\n"


async def test_a_stranger_s_text_cannot_move_the_cursor(tmp_path: Path) -> None:
    async with scene(tmp_path) as limits:
        await limits.filled()
        [stored] = limits.sandbox.atoti_limits.limits.store.structures.values()
        stored["name"] = "Price\x1b[2J\x07"
        ended = await limits("structures")

    assert ended.status == 0
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
