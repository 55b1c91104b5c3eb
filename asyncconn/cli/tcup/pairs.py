"""A small file of which task goes before which."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.cli.options import STANDARD
from asyncconn.cli.output import count, faults
from asyncconn.core.row_files import Problem, RowFile
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.row_files import Row

__all__ = ["Pair", "pairs_of"]

_COLUMNS = ("source", "destination", "file")


@dataclass(frozen=True, slots=True)
class Pair:
    """The task ``destination`` runs after ``source``, and has its output ``file``, where there is one."""

    source: str
    destination: str
    file: str = ""


def pairs_of(path: Path) -> list[Pair]:
    """The pairs of a file. Names all that is wrong with it, then raises ``ConfigError``."""
    name = "<stdin>" if path == STANDARD else str(path)
    try:
        with RowFile(sys.stdin.buffer if path == STANDARD else path).open() as file:
            found = [row if isinstance(row, Problem) else _pair(row) for row in file.rows()]
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    if problems := [one for one in found if isinstance(one, Problem)]:
        faults([f"{name}:{one.line}: {one.what}" for one in problems])
        raise ConfigError(f"{count(len(problems), 'problem')} in {name}")
    if not found:
        raise ConfigError(f"{name} holds no pair of tasks")
    return [one for one in found if isinstance(one, Pair)]


def _pair(row: Row) -> Pair | Problem:
    if strange := [name for name in row.record if name not in _COLUMNS]:
        return Problem(row.line, f"there is no column {strange[0]!r}: they are {', '.join(_COLUMNS)}")
    source, destination, file = (row.record.get(name) or "" for name in _COLUMNS)
    texts = [one.strip() if isinstance(one, str) else "" for one in (source, destination, file)]
    if not texts[0] or not texts[1]:
        return Problem(row.line, "a pair of tasks has a source and a destination")
    return Pair(*texts)
