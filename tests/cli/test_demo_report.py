"""The page that the demonstration draws: one file, with what the platforms have seen in it, and nothing else."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
from markup import Markup

from asyncconn import VirtualClock
from asyncconn.cli.demo.part import Verdict
from asyncconn.cli.demo.recording import Recording, mark, recorded
from asyncconn.cli.demo.report import report_page
from asyncconn.core.polling import Poller, PollPolicy
from cli.commands import command, environment, run

pytestmark = pytest.mark.slow(240)  # a demonstration, and two more programs

PASSED = Verdict("records", True, "all <10> records landed", 0.5)
OUTSIDE = re.compile(r"""(?:src|href)\s*=\s*["'](?!#)|url\((?!["']?#)|@import""")


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


def test_the_report_of_a_demonstration_is_one_file_with_every_figure(tmp_path: Path, few: Path) -> None:
    words = command("demo", "--data", str(few), "--report", "report.html")
    ended = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8", timeout=220)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The figures are in report.html." in ended.stdout
    page = (tmp_path / "report.html").read_text()
    assert headings(page) == [
        "Verdicts", "Throughput", "Ages", "Rate used against the cap", "Polls", "Reconnects", "Kill and resume",
    ]  # fmt: skip
    assert page.count("<svg") == 6
    assert "80 records in" in page
    assert "never more than 60, of 60 allowed." in page
    assert "All 7 parts passed." in page
    assert "4,000 records landed." in page
    assert OUTSIDE.findall(page) == []
    assert Markup(page.partition("<style>")[0] + page.partition("</style>")[2]).open == []


@pytest.mark.parametrize(("where", "why"), [(".", "it is a folder"), ("no/report.html", "there is no such folder")])
def test_a_place_that_cannot_be_is_told_before_the_work(tmp_path: Path, where: str, why: str) -> None:
    ended = run(tmp_path, "demo", "--report", where)
    assert (ended.status, ended.out) == (2, "")
    assert f"--report: {where} cannot be written: {why}" in ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the places of Linux where nothing can be written")
@pytest.mark.parametrize(("name", "why"), [("x" * 300, "File name too long"), ("/proc/report.html", "No such file")])
def test_what_cannot_be_written_is_tried_before_the_work(tmp_path: Path, name: str, why: str) -> None:
    ended = run(tmp_path, "demo", "--report", name, patch="import os; os.environ['COLUMNS'] = '1000'")
    assert (ended.status, ended.out) == (2, "")
    assert f"cannot be written: {why}" in ended.err


def test_a_page_that_is_there_is_not_touched_before_the_end(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("the last one")
    failing = "from asyncconn.cli.demo import panoply; panoply.work = lambda *a: 1 / 0"
    ended = run(tmp_path, "demo", "--report", "report.html", patch=failing)
    assert ended.status != 0
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("report.html", "the last one")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the places of Linux where nothing can be written")
@pytest.mark.parametrize(("options", "said"), [([], "PASS"), (["--json"], '"verdicts": [')])
def test_what_came_out_is_said_although_the_page_cannot_be_written(
    tmp_path: Path, few: Path, options: list[str], said: str
) -> None:
    alone = "from asyncconn.cli.demo import command; command._others = lambda *a, **k: iter(())"
    ended = run(tmp_path, "demo", "--data", str(few), "--report", "/dev/full", *options, patch=alone)
    assert ended.status != 0
    assert said in ended.out
    assert "No space left on device" in ended.err


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    patch = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'matplotlib' else f(n)"
    ended = run(tmp_path, "demo", "--report", "report.html", patch=patch)
    assert (ended.status, ended.out) == (2, "")
    assert "matplotlib is not installed: pip install 'asyncconn[report]'" in ended.err


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_a_part_that_recorded_nothing_has_no_figure() -> None:
    assert headings(report_page(Recording(), [PASSED])) == ["Verdicts"]


def test_words_of_a_verdict_are_no_part_of_the_page() -> None:
    page = report_page(Recording(), [PASSED, Verdict("b", False, "<script>", 0.1)])
    assert "<script>" not in page
    assert "1 part of 2 failed." in page


def test_a_cap_that_was_broken_is_in_the_words_of_its_figure() -> None:
    calls = [(number * 0.9, 1.0) for number in range(70)]
    page = report_page(Recording({"datorama/calls": calls}), [PASSED])
    assert "never more than 67, of 60 allowed." in page


def test_an_age_over_what_is_allowed_is_in_the_words_of_its_figure() -> None:
    page = report_page(Recording({"panoply/age": [(0.0, 0.1), (3.0, 2.6)]}), [PASSED])
    assert "at most 2.60 s, of 2 s allowed." in page


# -- what is recorded --------------------------------------------------------------------------------------------------


def test_points_are_in_seconds_since_the_first_of_their_part() -> None:
    clock = VirtualClock()

    async def main() -> None:
        await asyncio.sleep(100.0)
        mark("a/one", 1)
        await asyncio.sleep(2.0)
        mark("a/two", 5)
        mark("b/one", 7)

    with recorded() as recording:
        clock.run(main())
    assert recording.of("a") == {"one": [(0.0, 1)], "two": [(2.0, 5)]}
    assert recording.of("b") == {"one": [(0.0, 7)]}


def test_each_poll_is_a_point_and_outside_nothing_is_recorded() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        states = iter([1, 2, 3])

        async def fetch() -> int:
            return next(states)

        policy = PollPolicy(minimum=2.0, maximum=2.0, jitter=0.0)
        poller = Poller(fetch, done=lambda state: state == 3, result=str, name="export", policy=policy, clock=clock)
        await poller

    with recorded() as recording:
        clock.run(wait())
    clock.run(wait())
    assert recording.waits == 1
    assert recording.of("polls 1") == {"export": [(0.0, 0), (0.0, 1), (2.0, 2), (4.0, 3)]}
