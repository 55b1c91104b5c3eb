"""The page on operations lists every line that the package logs, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncconn

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(asyncconn.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

_MADE = re.compile(r'^(\w+) = logging.getLogger\("([\w.]+)"\)(?:  #.*)?$', re.MULTILINE)
_FILLED = re.compile(r"%[-#0 +]*\d*(\.\d+)?[a-z]")  # in place of which something stands


class Line(NamedTuple):
    logger: str
    level: str
    text: str


def logged() -> Iterator[Line]:
    """Each call of a logger in the package."""
    for path in PACKAGE.rglob("*.py"):
        program = path.read_text(encoding="utf-8")
        loggers = dict(_MADE.findall(program))
        tree = ast.parse(program if loggers else "")
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            name = loggers.get(getattr(node.func.value, "id", ""))
            if name is not None:
                text = node.args[0]
                assert isinstance(text, ast.Constant), f"{path}:{node.lineno}: a line is written where it is logged"
                yield Line(name, node.func.attr.upper(), _FILLED.sub("…", str(text.value)))


def listed() -> Iterator[Line]:
    """Each row of the page's table; a logger stands in the first of its rows."""
    logger = ""
    for row in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")] if row.startswith("| ") else []
        if row.startswith("| | "):
            cells = ["", *cells]
        if len(cells) == 4 and cells[1] in {level.upper() for level in LEVELS}:
            logger = cells[0].strip("`") or logger
            yield Line(logger, cells[1], cells[2].strip("`"))


def test_the_page_lists_every_line_that_is_logged() -> None:
    assert sorted(set(listed())) == sorted(set(logged()))
    assert len(list(listed())) == len(set(listed()))


def test_loggers_have_names_of_their_own_and_are_found_here() -> None:
    """A logger that is made in another way than all others would be missed above."""
    for path in PACKAGE.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "getLogger(" in line and not _MADE.fullmatch(line):
                assert line.strip() in OTHERS, path


#: The root, the package's own, for whom a command listens; and what another library writes to.
OTHERS = {
    "root = logging.getLogger()",
    'logger = logging.getLogger("asyncconn")',
    'logger, handler = logging.getLogger("asyncconn"), _Lines(logging.WARNING)',
    'logger, handler = logging.getLogger("asyncconn.ratelimit"), _Waits(logging.INFO)',
    'logging.getLogger("asyncconn").addHandler(logging.NullHandler())',
    'logger=_Discreet(logging.getLogger("asyncconn.websocket"), {}),',
}
