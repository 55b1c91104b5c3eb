"""The files that settings name: whether they can be written, how large they are, and who has them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from asyncconn.cli.doctor.check import Check, failed
from asyncconn.cli.output import count, size
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.errors import AsyncConnError, ConfigError, SpoolInUse
from asyncconn.panoply import spool_contents

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["quota_file", "spool"]

_LOCKS = Path("/proc/locks")  # Linux
_LITTLE = 100_000_000  # bytes


async def spool(name: str, path: Path, variable: str) -> Check:
    """A spool: its records, if nobody is writing to it; else who is."""
    if (early := _place(name, path, variable)) is not None:
        return early
    try:
        found = await spool_contents(path)
    except SpoolInUse:
        return _roomy(name, path, f"{_large(path)}, in use by {_holder(path)}")
    except AsyncConnError as error:
        return failed(name, error)
    if found.records:
        waiting = f"{count(found.records, 'record')} ({size(found.bytes)}) wait, and no program has it open"
        advice = f"the next program with {variable} sends them; asyncconn panoply spool shows them"
        return Check(name, "warn", waiting, advice)
    return _roomy(name, path, f"{_large(path)}, nothing waits in it")


async def quota_file(name: str, path: Path, variable: str) -> Check:
    """The file in which a day's count of calls is kept."""
    if (early := _place(name, path, variable)) is not None:
        return early
    try:
        keys = await FileQuotaStore(path).check()
    except ConfigError as error:
        return failed(name, error)
    return _roomy(name, path, f"{_large(path)}, counts of {count(keys, 'credential')}")


def _place(name: str, path: Path, variable: str) -> Check | None:
    """What is wrong with where it is to be, or that it is not there yet."""
    folder = path.resolve().parent
    if path.is_dir():
        return Check(name, "fail", "a folder is in its place", f"name a file in {variable}")
    if not folder.is_dir():
        return Check(name, "fail", "there is no such folder", f"make the folder, or correct {variable}")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        return Check(name, "fail", "it cannot be written", f"let this user write it and its folder, or move {variable}")
    return None if path.exists() else _roomy(name, path, "not there yet; its folder takes it")


def _large(path: Path) -> str:
    return size(path.stat().st_size)


def _roomy(name: str, path: Path, found: str) -> Check:
    free = shutil.disk_usage(path.resolve().parent).free
    if free < _LITTLE:
        return Check(name, "warn", f"{found}; {size(free)} of the disk are free", "make room")
    return Check(name, "ok", found)


def _holder(path: Path) -> str:
    """Who has a lock on it, where the system tells."""
    process = next(_holders(path), None)
    if process is None:
        return "another program"
    try:
        return f"process {process} ({Path(f'/proc/{process}/comm').read_text().strip()})"
    except OSError:
        return f"process {process}"


def _holders(path: Path) -> Iterator[int]:
    try:
        there, lines = path.stat(), _LOCKS.read_text().splitlines()
    except OSError:
        return
    device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    for line in lines:  # "1: POSIX  ADVISORY  WRITE 4711 08:01:1234 0 EOF"
        words = line.split()
        if device in words and len(words) > 4 and words[4].isdecimal():
            yield int(words[4])
