"""Files of one folder for spools of several processes: whose they are is in the name, who has them open is not."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from asyncconn.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["files_of"]


def files_of(folder: Path, owner: str, *, create: bool) -> Iterator[Path]:
    """Those that a spool of ``owner`` may try to open, in order: those that are there, the oldest first, then new ones.

    So what a process has left that nobody came after is not left for long. Raises ``SpoolError``.
    """
    name = f"{owner[:16]}-" if owner else ""
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = {path: _age(path) for path in folder.glob(f"{name}[0-9]*.spool")}
    except OSError as error:
        raise SpoolError(f"{folder} cannot be used: {error.strerror or error}") from error
    yield from sorted(there, key=lambda path: there[path])
    if create:
        yield from (path for number in count() if (path := folder / f"{name}{number}.spool") not in there)


def _age(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
