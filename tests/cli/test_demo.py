"""The demonstration shows what really happened, and fails when something is missing."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.cli.demo.counting import worst_window
from asyncconn.cli.demo.seattle import compare
from cli.commands import DATA, Ended, command, environment, run

if TYPE_CHECKING:
    from pathlib import Path

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]")
CREDENTIAL = re.compile(r"demo-[a-z0-9]{6}/|[A-Za-z0-9+/]{60,}")

WIDE = {"COLUMNS": "400"}
PARTS = ["records", "source", "Datorama", "Atoti Limits", "TCUP", "TCUP streams"]

LOSES_A_ROW = """
from asyncconn.sandbox.panoply.warehouse import Warehouse
store = Warehouse._store
def lossy(self, writer, table, rows, *rest):
    dropped = rows.items.pop()
    return store(self, writer, table, rows, *rest) + 1
Warehouse._store = lossy
"""
ALTERS_A_VALUE = """
from asyncconn.sandbox.panoply.warehouse import Warehouse
store = Warehouse._store
def careless(self, writer, table, rows, *rest):
    rows.items[0][1][2] = 99.9
    return store(self, writer, table, rows, *rest)
Warehouse._store = careless
"""
FORGETS_ITS_LIMIT = """
from asyncconn import Platform
from asyncconn.cli.demo import panoply
panoply.Probe.platform = Platform("probe")
"""


def result(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.out)
    return found


def verdicts(ended: Ended) -> dict[str, str]:
    """The rows of the last table, by their part; of what was run on a screen that is WIDE."""
    _, _, below = ended.out.partition("\nVerdicts")
    rows = [re.split(r"\s{2,}", line.strip()) for line in below.splitlines() if line.startswith(("PASS", "FAIL"))]
    return {part: f"{word} {said}" for word, part, said, _ in rows}


def test_all_real_records_land_and_sql_says_what_the_files_say(tmp_path: Path) -> None:
    ended = run(tmp_path, "demo", "--json")
    assert ended.status == 0, ended.text
    assert ended.err == ""
    found = result(ended)
    with (DATA / "seattle-weather.csv").open() as stream:
        days = list(csv.DictReader(stream))
    with (DATA / "seattle-temps.csv").open() as stream:
        hours = list(csv.DictReader(stream))
    assert (len(days), len(hours)) == (1461, 8759)
    assert found["ok"] is True
    assert found["expected"] == found["accepted"] == found["delivered"] == 10_220
    assert [found[name] for name in ("missing", "altered", "unexpected", "failed", "duplicates", "retries")] == [0] * 6
    weather, temperatures = found["tables"]
    assert (weather["rows"], weather["first"], weather["last"]) == (1461, "2012-01-01", "2015-12-31")
    assert temperatures["rows"] == 8759
    assert (temperatures["first"], temperatures["last"]) == ("2010-01-01T00:00:00", "2010-12-31T23:00:00")
    mean = sum((float(day["temp_max"]) + float(day["temp_min"])) / 2 for day in days) / len(days)
    assert weather["mean"] == pytest.approx(mean, abs=0.006)
    assert temperatures["mean"] == pytest.approx(sum(float(hour["temp"]) for hour in hours) / 8759, abs=0.006)
    for year in found["weather_by_year"]:
        of_year = [day for day in days if day["date"].startswith(year["year"])]
        for kind in ("sun", "fog", "rain", "drizzle", "snow"):
            assert year[kind] == sum(day["weather"] == kind for day in of_year)
        assert year["warmest"] == max(float(day["temp_max"]) for day in of_year)
        assert year["wet"] == pytest.approx(sum(float(day["precipitation"]) for day in of_year), abs=0.6)
    assert 0 < found["max_age_at_send"] <= 2.1
    assert found["messages"] >= 4
    assert found["rate_limit"]["calls"] == 30
    assert found["rate_limit"]["worst_window"] == 10
    assert found["rate_limit"]["seconds"] < 3
    assert [(one["part"], one["ok"]) for one in found["verdicts"]] == [(part, True) for part in PARTS]
    assert found["source"]["rows"] == found["source"]["landed"] == 8759
    assert found["source"]["before"] + found["source"]["after"] == 8759


def test_records_survive_faults_and_repetitions_are_counted(tmp_path: Path) -> None:
    ended = run(tmp_path, "demo", "--json", "--sender", "sqs", "--faults", "status:503*2, drop_after")
    assert ended.status == 0, ended.text
    found = result(ended)
    assert found["faults"] == {"status": 2, "drop_after": 1}
    assert found["retries"] == 3
    assert found["duplicates"] > 0
    assert found["delivered"] == 10_220


def test_a_batch_that_is_lost_for_good_fails_the_demo(tmp_path: Path, few: Path) -> None:
    ended = run(tmp_path, "demo", "--data", str(few), "--faults", "status:400*9", env=WIDE)
    assert ended.status == 1
    said = verdicts(ended)
    assert said["records"].startswith("FAIL of 80 records: 80 missing, 80 reported as undelivered; ")
    assert "answered 400" in said["records"]
    assert said["source"].startswith("FAIL ")
    assert "answered 400" in said["source"]
    assert said["TCUP"].startswith("PASS ")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (LOSES_A_ROW, "of 80 records: 2 missing;"),
        (ALTERS_A_VALUE, "of 80 records: 2 with other values;"),
        (FORGETS_ITS_LIMIT, "30 calls within 1 s where 10 are allowed"),
    ],
    ids=["lost", "altered", "unlimited"],
)
def test_the_verdict_is_what_the_server_saw_and_not_what_the_client_believes(
    tmp_path: Path, few: Path, patch: str, said: str
) -> None:
    ended = run(tmp_path, "demo", "--data", str(few), patch=patch, env=WIDE)
    assert ended.status == 1, ended.text
    assert said in verdicts(ended)["records"]


def test_a_trickle_leaves_within_two_seconds(tmp_path: Path, few: Path) -> None:
    found = result(run(tmp_path, "demo", "--data", str(few), "--rate", "30", "--json"))
    assert found["ok"] is True
    assert found["seconds"] > 2
    assert found["messages"] >= 2
    assert 1.5 < found["max_age_at_send"] <= 2.1


def test_piped_output_is_plain_text_without_a_credential(tmp_path: Path, few: Path) -> None:
    ended = run(tmp_path, "demo", "--data", str(few))
    assert ended.status == 0, ended.text
    assert ended.err == ""
    assert not CONTROL.search(ended.out)
    assert not CREDENTIAL.search(ended.out)
    assert max(map(len, ended.out.splitlines())) <= 80  # as wide as logs are
    titles = [line.strip() for line in ended.out.splitlines()]
    assert titles.index("What landed, by SQL") < titles.index("A data source that breaks off, and goes on")
    assert sum(line.startswith("PASS  ") for line in titles) == 6


def test_on_a_terminal_there_is_a_bar(tmp_path: Path, few: Path) -> None:
    controller, terminal = pty.openpty()
    env = environment({"TERM": "xterm-256color", "COLUMNS": "100"})
    args = command("demo", "--data", str(few))
    with subprocess.Popen(args, cwd=tmp_path, env=env, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        while True:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            seen += piece
    os.close(controller)
    assert process.returncode == 0
    text = seen.decode()
    assert "\x1b[" in text
    assert "streaming" in text
    assert "80/80" in text
    for bar in ("hours from a source", "Atoti Limits", "TCUP", "readings over MQTT"):
        assert bar in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--data", "nowhere"), "the demonstration's data cannot be read"),
        (("--faults", "hiccup"), "kind='hiccup' is not one of"),
        (("--rate", "0"), "--rate must be more than 0"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    ended = run(tmp_path, "demo", *args)
    assert ended.status == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err


def test_a_bad_data_file_is_named_with_its_line(tmp_path: Path, few: Path) -> None:
    for source in few.iterdir():
        (tmp_path / source.name).write_text(source.read_text())
    with (tmp_path / "seattle-temps.csv").open("a") as stream:
        stream.write("2010/99/01 00:00,1\n")
    ended = run(tmp_path, "demo", "--data", ".")
    assert ended.status == 2
    assert "seattle-temps.csv:42: " in ended.err


@pytest.mark.parametrize(
    ("times", "worst"),
    [([], 0), ([5.0], 1), ([0.0, 0.5, 0.9, 1.0], 3), ([0.0, 0.99, 1.01, 1.5, 1.98], 4), ([0.0, 1.0, 2.0], 1)],
)
def test_the_worst_window_is_counted_from_the_arrivals(times: list[float], worst: int) -> None:
    assert worst_window(times, 1.0) == worst


def test_a_comparison_sees_what_is_missing_altered_and_too_much() -> None:
    records = [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "c", "n": 3}]
    good = [{**record, "__senttime": "now"} for record in records]
    assert not compare(records, good)
    found = compare(records, [good[0], {"id": "b", "n": 2.5}, {"id": "d", "n": 4}, good[0]])
    assert (found.missing, found.altered, found.unexpected) == (["c"], ["b"], ["a", "d"])


# -- the part about Datorama -------------------------------------------------------------------------------------------

FORGETS_THE_CAP = """
from asyncconn.datorama import client
from asyncconn.datorama.client import DatoramaLimits
DatoramaLimits.__init__.__kwdefaults__['calls_per_minute'] = 75
"""
LOSES_A_JOB = """
from asyncconn.datorama.resources.jobs import Jobs
decoded = Jobs.decoded
Jobs.decoded = lambda self, found, stream=None: decoded(self, found, stream)[1:]
"""


def test_datorama_is_read_and_processed_under_its_cap(tmp_path: Path, few: Path) -> None:
    found = result(run(tmp_path, "demo", "--data", str(few), "--json"))
    part = found["datorama"]
    assert (found["ok"], part["ok"], part["wrong"]) == (True, True, [])
    assert (part["workspaces"], part["streams"], part["jobs"]) == (6, 200, 600)
    assert (part["processed_streams"], part["processed_jobs"]) == (60, 180)
    assert sum(part["ended"].values()) == 180
    assert part["worst_minute"] == 60
    assert part["refused"] == 0
    assert [step["calls"] for step in part["steps"][:2]] == [7, 200]
    assert part["calls"] == sum(step["calls"] for step in part["steps"])
    assert part["virtual_seconds"] >= 60 * (part["calls"] // 60 - 1)
    assert part["seconds"] < 3


@pytest.mark.parametrize(
    ("patch", "said"),
    [(FORGETS_THE_CAP, "refused (429)"), (LOSES_A_JOB, "400 jobs listed of 600")],
    ids=["no cap", "lost"],
)
def test_the_platform_decides_whether_the_part_about_datorama_passes(
    tmp_path: Path, few: Path, patch: str, said: str
) -> None:
    ended = run(tmp_path, "demo", "--data", str(few), patch=patch, env=WIDE)
    assert ended.status == 1, ended.text
    assert verdicts(ended)["Datorama"].startswith("FAIL ")
    assert said in verdicts(ended)["Datorama"]
