"""``asyncconn tcup``: sensors, observations, files; what cannot work is said before anything is sent."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from asyncconn.cli.tcup.common import moment, pairs
from asyncconn.errors import ConfigError
from asyncconn.sandbox import Fault
from cli.commands import arun, run
from cli.tcup_scene import inside, scene

if TYPE_CHECKING:
    from pathlib import Path

KEY, URL = "ASYNCCONN_TCUP_API_KEY", "ASYNCCONN_TCUP_URL"
WIDE = b"""sensor,feature,starttime,obs1,obs2
ts1,tf1,05-JAN-2026 00:00:00.000 UTC,=1+1,1
ts1,tf1,2026,b,2
ts9,tf1,05-JAN-2026 00:00:00.000 UTC,c,3
"""


# -- all of them -------------------------------------------------------------------------------------------------------


def test_help_names_every_command(tmp_path: Path) -> None:
    def missing(verbs: str, *args: str) -> list[str]:
        shown = inside(tmp_path, *args, "--help").out
        return [verb for verb in verbs.split() if f" {verb} " not in shown]

    assert missing("sensors register observe query upload download search sse mqtt ws task workflow rules") == []
    assert missing("list create deploy start wait stop logs outputs delete --quiet", "task") == []
    assert missing("--timeout --quiet --url", "task", "wait") == []


@pytest.mark.parametrize(
    ("env", "said"),
    [({}, f"error: set {URL} and {KEY} (TCUP's address and"), ({URL: "http://127.0.0.1:1"}, f"error: set {KEY} (")],
)
def test_without_credentials_one_line_names_the_settings(tmp_path: Path, env: dict[str, str], said: str) -> None:
    ended = run(tmp_path, "tcup", "sensors", env=env)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(said)
    assert ended.err.count("\n") == 1
    assert "asyncconn sandbox --env-file .env, in another terminal" in ended.err


async def test_a_configuration_file_has_the_address_and_the_key(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        (tmp_path / "ConfigFile.conf").write_text(f"[tcup]\nurl = {here.world.url}\napi_key = {here.world.api_key}\n")
        ended = await arun(tmp_path, "tcup", "sensors", "--config", "ConfigFile.conf")
        assert (ended.status, ended.out, ended.err) == (0, "no sensors\n", "")
        env = {**here.sandbox.env, KEY: "made-up-key"}
        wrong = await arun(tmp_path, "tcup", "sensors", env=env)
        debug = await arun(tmp_path, "tcup", "sensors", "--debug", env=env)
    assert wrong.status == 1
    assert wrong.err.startswith("error: tcup answered 40")
    assert wrong.err.count("\n") == 1
    assert "Traceback" in debug.err
    assert "made-up-key" not in wrong.text + debug.text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("sensors", "--config", "nowhere.conf"), "nowhere.conf cannot be read"),
        (("sensors", "--time-zone", "PST"), "--time-zone: 'PST' is no time zone that means one thing"),
        (("sensors", "-o", "list.txt"), "is list.txt to be CSV or JSON?"),
        (("register", "ts1", "obs1"), "an output is such as obs2:quantity or obs2:quantity:Cel, not 'obs1'"),
        (("observe",), "give a sensor and what it has observed, or --file"),
        (("observe", "ts1"), "give a sensor and what it has observed, or --file"),
        (("observe", "ts1", "obs1"), "a name and a value, such as name=value, not 'obs1'"),
        (("observe", "ts1", "a=1", "a=2"), "a is there twice"),
        (("observe", "ts1", "a=1", "--file", "wide.csv"), "not both"),
        (("observe", "--file", "nowhere.csv"), "there is no file nowhere.csv"),
        (("observe", "--file", "bad.csv"), "has no column 'starttime'"),
        (("observe", "--file", "wide.csv", "--routing", "db"), "--routing is not for CSV"),
        (("observe", "ts1", "a=1", "--time", "today"), "--time: 'today' is no time such as 2026-01-05T12:00:00Z"),
        (("observe", "ts1", "a=1", "--time", "2026-01-05"), "has no time zone"),
        (("query",), "a query names a sensor or a feature"),
        (("query", "ts1", "--latest", "--start", "2026-01-05T00:00Z"), "--latest goes without --start"),
        (
            ("query", "ts1", "--start", "05-JAN-2026 00:00:00 XYZ"),
            "--start: 'XYZ' is no time zone",
        ),
        (("upload", "-"), "standard input needs a --name"),
        (("upload", "wide.csv", "--mode", "add"), "--mode: there is no 'add'; there are RESTRICT, OVERWRITE"),
        (("upload", "wide.csv", "--metadata", "colour"), "--metadata: a name and a value"),
        (("upload", "wide.csv", "--savepoint", "../up"), "savepoint"),
        (("upload", "nowhere.csv"), "nowhere.csv"),
        (("download", "a/b", "c/d", "-o", "file"), "several files go to a folder that is there"),
        (("search", "--size", ">1TB"), "the catalogue has no TB"),
        (("search", "--metadata", "colour=blue"), "metadata"),
        (("task", "create", "p", "j", "--at", "2030-01-01T00:00Z", "--cron", "* * * * *"), "--at or --cron, not both"),
        (("task", "create", "p", "j", "--cron", "0 0 30 2 *"), "is no cron expression"),
        (("task", "outputs", "p", "j", "--folder", "nowhere"), "there is no folder nowhere"),
        (("workflow", "run", "nowhere.csv", "--project", "p", "--name", "f"), "No such file"),
        (("rules", "create", "wide.csv"), "is not JSON"),
        (("rules", "create", "rule.json"), "RuleName"),
    ],
)
def test_what_cannot_work_is_one_line_and_nothing_is_sent(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    (tmp_path / "wide.csv").write_bytes(WIDE)
    (tmp_path / "bad.csv").write_text("sensor,obs1\nts1,1\n")
    (tmp_path / "rule.json").write_text("{}")

    # Nothing listens there: what is sent fails with another status.
    ended = inside(tmp_path, *args, env={URL: "http://127.0.0.1:1", KEY: "made-up-key"})

    assert (ended.status, ended.out) == (2, ""), ended.text
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_times_and_pairs_are_read_as_people_write_them() -> None:
    assert moment("2026-01-05T00:00:00Z", "--at") == moment("5-jan-2026 05:30:00 IST", "--at")
    assert pairs(["a=b=c", "d="], "") == {"a": "b=c", "d": ""}
    with pytest.raises(ConfigError, match="a name and a value"):
        pairs(["=x"], "")


# -- observations ------------------------------------------------------------------------------------------------------


async def test_a_sensor_is_registered_and_listed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        assert "ts1" in (shown := await here.done("sensors"))
        assert "obs1, obs2" in shown
        [found] = json.loads(await here.done("sensors", "--format", "json"))
        assert (found["feature"], found["output"][1]) == ("tf1", {"name": "obs2", "type": "quantity", "unit": "Cel"})
        twin = await here("register", "ts1", "obs1:text")
    assert (twin.status, twin.err.partition(" ")[0]) == (1, "error:")


async def test_one_observation_is_stored_or_refused(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        when = ("--time", "2026-01-05T00:00", "--time-zone", "Asia/Kolkata")
        assert await here.done("observe", "ts1", "obs1=007", "obs2=31.5", *when) == "1 observation stored\n"
        assert here.values() == [("obs1", "007"), ("obs2", "31.5")]
        [row, _] = json.loads(await here.done("query", "ts1", "-f", "json"))
        assert row["starttime"] == "04-JAN-2026 18:30:00.000 UTC"
        refused = await here("observe", "ts9", "obs1=1")
        assert len(here.values()) == 2
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("error: tcup answered 404 sensor is not registered")


@pytest.mark.parametrize("name", ["seen.csv", "seen.jsonl", "seen.json"])
async def test_what_a_query_writes_can_be_observed_again(tmp_path: Path, name: str) -> None:
    async with scene(tmp_path / "..") as other, scene(tmp_path) as here:
        for one in (here, other):
            await one.registered()
        await here.done("observe", "ts1", 'obs1=say "=1", please', "obs2=1", "--feature", "tf1")
        await here.done("observe", "ts1", "obs2=2", "--time", "2026-01-05T00:00Z")
        assert await here.done("query", "ts*", "-o", name) == f"3 values written to {name}\n"
        assert await other.done("observe", "--file", str(tmp_path / name)) == "3 of 3 observations stored\n"
        assert other.world.sos.rows() == here.world.sos.rows()


async def test_a_query_takes_times_conditions_and_names(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        for day, value in (("05", "1"), ("06", "20"), ("07", "30")):
            await here.done("observe", "ts1", "obs1=a", f"obs2={value}", "--time", f"2026-01-{day}T00:00Z")

        async def seen(*args: str) -> list[str]:
            text = await here.done("query", "-f", "csv", "-p", "obs2", *args)
            return [row["value"] for row in csv.DictReader(text.splitlines())]

        assert await seen("ts1", "--start", "06-JAN-2026 00:00:00.000 UTC") == ["20", "30"]
        assert await seen("ts1", "--end", "2026-01-06T00:00Z") == ["1"]
        assert await seen("--feature", "tf1", "--where", "obs2>10", "--where", "obs2<30") == ["20"]
        assert await seen("ts1", "--latest") == ["30"]
        assert "3 values" in await here.done("query", "ts1", "-p", "obs2")
        assert await here.done("query", "nobody") == "no values\n"


async def test_refused_lines_of_csv_are_named_and_the_rest_is_stored(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        ended = await here("observe", "--file", "-", given=WIDE)
        assert here.values() == [("obs1", "=1+1"), ("obs2", "1")]
    assert (ended.status, ended.out) == (1, "1 of 3 observations stored\n")
    first, second, last = ended.err.splitlines()
    assert first.startswith("<stdin>:3: the time of an observation: '2026' is no time")
    assert second.startswith("<stdin>:4: ")
    assert last == "error: 2 refused"


async def test_a_file_has_times_as_the_command_line_takes_them(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"sensor": "ts1", "name": "obs2", "value": 3, "starttime": "2026-01-05"}\n')
    async with scene(tmp_path) as here:
        await here.registered()
        wide = b"sensor,feature,starttime,obs2\nts1,tf1,2026-01-05T00:00:00Z,1\nts1,tf1,2026-01-06,2\n"
        csv = await here("observe", "--time-zone", "Asia/Kolkata", "--file", "-", given=wide)
        lines = await here("observe", "--time-zone", "Asia/Kolkata", "--file", "some.jsonl")
        assert here.values() == [("obs2", "3"), ("obs2", "1"), ("obs2", "2")]
    assert (csv.status, csv.out) == (0, "2 of 2 observations stored\n")
    assert (lines.status, lines.out) == (0, "1 of 1 observation stored\n")
    told = inside(tmp_path, "observe", "--help").out
    assert all(name in told for name in ("sensor", "feature", "starttime", "endtime"))


async def test_refused_json_lines_are_named_by_their_lines(tmp_path: Path) -> None:
    good = {"sensor": "ts1", "name": "obs2", "value": 1}
    lines = [json.dumps(good), '{"sensor": 1', "", json.dumps({"sensor": "ts1"}), json.dumps({**good, "sensor": "x"})]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    async with scene(tmp_path) as here:
        await here.registered()
        ended = await here("observe", "--file", "some.jsonl", "--routing", "db")
        assert here.values() == [("obs2", "1")]
    assert (ended.status, ended.out) == (1, "1 of 4 observations stored\n")
    named = [line.partition(": ")[0] for line in ended.err.splitlines()]
    assert sorted(named) == ["error", "some.jsonl:2", "some.jsonl:4", "some.jsonl:5"]
    assert "not JSON" in ended.err


async def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text('{"sensor": "ts1", "name": "obs2", "value": 1}\n')
    async with scene(tmp_path) as here:
        await here.registered()
        here.sandbox.faults.add(Fault("drop_after", match=lambda call: call.target.endswith("/observations")))
        ended = await here("observe", "--file", "some.jsonl")
        assert here.values() == [("obs2", "1")]
    assert (ended.status, ended.out) == (1, "0 of 1 observation stored\n")
    assert "error: 1 unknown: the answer was lost; look before they are sent again" in ended.err


# -- the data lake -----------------------------------------------------------------------------------------------------


async def test_a_file_goes_to_the_lake_is_found_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_bytes(WIDE)
    async with scene(tmp_path) as here:
        said = ("-m", "colour=blue", "-m", "rows=3", "--comment", "raw", "--savepoint", "y2026/march")
        uri = (await here.done("upload", "flights.csv", *said)).strip()
        assert uri.endswith("/y2026/march/flights.csv")
        again = await here("upload", "flights.csv", "--savepoint", "y2026/march")
        assert again.status == 1
        await here.done("upload", "-", "--name", "note.txt", given=b"hello")

        async def found(*args: str) -> list[str]:
            return [file["name"] for file in json.loads(await here.done("search", "-f", "json", *args))]

        assert sorted(await found()) == ["flights.csv", "note.txt"]
        assert await found("-m", "colour='blue' & rows>='3'") == ["flights.csv"]
        assert await found("-m", "colour='red' & rows>='3'") == []
        assert await found("-m", "colour='red' & rows>='3'", "--any") == ["flights.csv"]
        assert await found("--name", "n*", "--size", "<1KB") == ["note.txt"]
        shown = await here.done("search", "--savepoint", "y2026*")
        assert uri in shown
        assert '"colour": "blue"' in shown

        assert await here.done("download", uri, "-o", "copy.csv") == "written to copy.csv\n"
        assert (tmp_path / "copy.csv").read_bytes() == WIDE
        (tmp_path / "files").mkdir()
        note = uri.replace("y2026/march/flights.csv", "note.txt")
        assert (await here.done("download", uri, note, "-o", "files")).count("written to files/") == 2
        assert (tmp_path / "files" / "note.txt").read_text() == "hello"
        assert await here.done("download", note, "-o", "-") == "hello"
        missing = await here("download", "user1/nothing.txt", "-o", "nothing.txt")
    assert (missing.status, missing.out) == (1, "")
    assert not (tmp_path / "nothing.txt").exists()


async def test_a_download_that_is_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 4096)
    async with scene(tmp_path) as here:
        uri = (await here.done("upload", "big.bin", "--resume")).strip()
        here.sandbox.faults.add(Fault("half_body", match=lambda call: call.method == "GET"))
        assert await here.done("download", uri, "-o", "copy.bin") == "written to copy.bin\n"
    assert (tmp_path / "copy.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()


async def test_a_strangers_text_moves_no_cursor(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        await here.done("observe", "ts1", "obs1=\x1b[2Jgone")
        shown = await here.done("query", "ts1")
        assert "\x1b" not in shown
        assert "[2Jgone" in shown
