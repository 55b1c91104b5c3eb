"""``asyncconn source`` at a terminal: what is missing is asked for, and progress is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.source_scene import COUNTING, ECHO, ENV, PASSWORD
from cli.terminals import Terminal


def test_at_a_terminal_what_is_missing_is_asked_for_and_a_secret_is_not_echoed(tmp_path: Path) -> None:
    text = Path(ECHO).read_text().replace('"type": "select",', '"type": "select", "required": True,')
    text = text.replace('"type": "dynamic-list",', '"type": "dynamic-list", "required": True,')
    text = text.replace('"type": "oauth"', '"type": "oauth", "required": True')
    (tmp_path / "mine.py").write_text(text)
    with Terminal(tmp_path, "source", "run", "mine.py", "--user", "u", "--dry-run", env={}) as terminal:
        terminal.until("hostName: ")
        terminal.type("h\n")
        terminal.until("access_token: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("1  h-north")
        terminal.until("2  h-south")
        terminal.until("region (number or name): ")
        terminal.type("west\n")
        terminal.until("'west' is not one of h-north, h-south")
        terminal.type("2\n")
        terminal.until("shops (numbers or names, with commas between): ")
        before = len(terminal.seen)
        assert PASSWORD not in terminal.seen
        terminal.type("2, h-south 7\n")
        assert terminal.end() == 0
    [line] = [line for line in terminal.seen[before:].splitlines() if line.startswith("{")]
    source = json.loads(line)["source"]
    assert (source["hostName"], source["access_token"], source["region"]) == ("h", PASSWORD, "h-south")
    assert source["shops"] == [{"name": "h-south 8", "value": 8}, {"name": "h-south 7", "value": 7}]


def test_at_a_terminal_nobody_is_asked_when_something_does_not_fit(tmp_path: Path) -> None:
    with Terminal(tmp_path, "source", "run", COUNTING, "--mode", "x", "--dry-run", env={}) as terminal:
        assert terminal.end() == 2
    assert "password" not in terminal.seen
    assert "'x' is not one of plain, failing, broken" in terminal.seen


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize(("args", "question"), [((ECHO,), "hostName: "), ((COUNTING,), "password: ")])
def test_a_question_can_be_left(tmp_path: Path, key: str, args: tuple[str, ...], question: str) -> None:
    with Terminal(tmp_path, "source", "run", *args, "--dry-run", env={}) as terminal:
        terminal.until(question)
        # One that comes just before Python waits for input is seen at the next key only.
        assert terminal.end(pressing=key) == 130
    assert "interrupted" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_at_a_terminal_a_bar_shows_the_progress_of_the_source(tmp_path: Path) -> None:
    args = ("--batch-size", "1", "--pause", "0.15", "--to", "sandbox")
    with Terminal(tmp_path, "source", "run", COUNTING, *args, env=ENV) as terminal:
        assert terminal.end() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen)
    assert re.search("reading .*[234]/5 [234] of \\[5\\]", plain)
    assert re.search("5 rows delivered .*5/5", plain)
    assert "\x1b[2J" not in terminal.seen  # what the source says moves no cursor
