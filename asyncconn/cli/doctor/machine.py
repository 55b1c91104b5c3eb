"""What is installed: Python, what the package requires, and what its extras bring."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from asyncconn.cli.doctor.check import Check, off

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["installed"]

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?(?P<versions>[^;]*)(?:;.*extra == ['\"](?P<extra>[\w-]+))?")


@dataclass(frozen=True, slots=True)
class _Library:
    """``extras`` that bring it: none of them, and it is required. ``least`` is the oldest version that will do."""

    name: str
    least: str
    extras: tuple[str, ...]


def installed(wanted: Mapping[str, str]) -> Iterator[Check]:
    """Python and each library. ``wanted`` are those that the settings ask for, and why."""
    good = sys.version_info >= (3, 11)
    version = f"{platform.python_implementation()} {platform.python_version()}"
    yield Check("Python", "ok" if good else "fail", version, "asyncconn needs Python 3.11 or newer")
    for one in _libraries():
        yield _looked_at(one, wanted.get(one.name))


def _looked_at(one: _Library, why: str | None) -> Check:
    problem = _problem(one)
    if problem is None:
        return Check(one.name, "ok", metadata.version(one.name))
    if not one.extras:
        return Check(one.name, "fail", problem, f"pip install --upgrade {one.name}")
    install = f"pip install 'asyncconn[{one.extras[0]}]'"
    if why is not None:
        return Check(one.name, "fail", f"{problem}, and {why} needs it", install)
    return off(one.name, f"{problem}; only if you use it: {install}")


def _problem(one: _Library) -> str | None:
    try:
        version = metadata.version(one.name)
    except metadata.PackageNotFoundError:
        return "not installed"
    if _numbers(version) < _numbers(one.least):
        return f"{version}, too old: {one.least} or newer is needed"
    return None


def _libraries() -> list[_Library]:
    """As our own metadata has them, required ones first; none when we run from a checkout."""
    try:
        lines = metadata.requires("asyncconn") or []
    except metadata.PackageNotFoundError:
        return []
    least: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found is None or found["name"].lower() == "asyncconn" or found["extra"] == "all":
            continue
        name = found["name"].lower()
        oldest = re.search(r">=\s*([\d.]+)", found["versions"])
        least.setdefault(name, oldest[1] if oldest else "0")
        extras.setdefault(name, []).extend([found["extra"]] if found["extra"] else [])
    # Of two extras that bring it, the one of fewer libraries.
    sizes = {extra: sum(extra in some for some in extras.values()) for some in extras.values() for extra in some}
    known = [_Library(name, least[name], tuple(sorted(some, key=sizes.__getitem__))) for name, some in extras.items()]
    return sorted(known, key=lambda one: bool(one.extras))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
