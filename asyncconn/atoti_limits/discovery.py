"""What a session tells about itself: the path of its REST API, and which cubes have a slicing date hierarchy.

Contract: limits sections 6.1, 6.3 and 7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.reports import CubeCheck, Verdict
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_slicing_hierarchy", "pivot_path"]

_NOT_DATES = frozenset({"Epoch", "Measures"})  # Epoch is slicing too, and technical
_DATE_LIKE = re.compile(r"date|as.?of|cob|day|time", re.IGNORECASE)
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)", re.ASCII)
_ELSEWHERE = re.compile(r"://|\\|[?#\s]|(?:^|/)\.\.(?:/|$)")


def check_slicing_hierarchy(discovery: Any, as_of_date: str | None = None) -> list[CubeCheck]:
    """Look for a slicing date hierarchy in every cube of an answer of ``cube/discovery``.

    ``as_of_date`` says which level is meant: ``level@hierarchy@dimension``, ``level@hierarchy`` or ``level``. Without
    it, names and types that look like dates decide. The list is empty when there is no cube yet.

        >>> [check.status for check in check_slicing_hierarchy(answer)]
        ['ok']

    Raises ``LimitsProtocolError``, which names the place, for what is no discovery, and ``ConfigError`` for a blank
    part in ``as_of_date``. Contract: limits section 7.
    """
    if as_of_date is not None and not all(part.strip() for part in as_of_date.split("@")):
        raise ConfigError(
            f"as_of_date must be level@hierarchy@dimension, level@hierarchy or level, without blanks: {as_of_date!r}"
        )
    checks: dict[str, CubeCheck] = {}
    for catalog, cube, slicing in _cubes(_unwrapped(discovery)):
        if (known := checks.get(cube)) is None:
            status, candidates, message = _verdict(slicing, as_of_date)
            checks[cube] = CubeCheck(catalog, cube, status, candidates, f"cube {cube!r}: {message}")
        else:
            checks[cube] = CubeCheck(
                known.catalog, cube, known.status, known.candidates, known.message, (*known.also_in, catalog)
            )
    return list(checks.values())


def pivot_path(versions: Any) -> str:
    """The path of the session's REST API after its base URL, without a slash in front: the highest number wins.

        >>> pivot_path({"apis": {"pivot": {"versions": [{"id": "v10", "restPath": "/activeviam/pivot/rest/v10"}]}}})
        'activeviam/pivot/rest/v10'

    Raises ``LimitsProtocolError``, which names the place, for an answer of ``/versions/rest`` without such a path.
    Contract: limits section 6.1.
    """
    apis = _member(versions, "apis", "$", dict)
    for api in ("activeviam/pivot", "pivot"):  # the short name is that of servers before 6.0
        if api in apis:
            paths = dict(_rest_paths(apis[api], f"$.apis[{api!r}]"))
            if paths:
                return paths[max(paths)]
    raise LimitsProtocolError("no version of the pivot API has a path", path="$.apis")


# -- versions ----------------------------------------------------------------------------------------------------------


def _rest_paths(api: Any, place: str) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, version in enumerate(_member(api, "versions", place, list)):
        here = f"{place}.versions[{index}]"
        path = _expect(version, here, dict).get("restPath")
        number = _VERSION.fullmatch(str(version.get("id")))
        if path is None or number is None:
            continue
        path = _expect(path, f"{here}.restPath", str).lstrip("/")
        # Credentials go where this points: it must stay on the session.
        if not path or _ELSEWHERE.search(path):
            raise LimitsProtocolError("this is not a path on the server itself", path=f"{here}.restPath")
        yield tuple(map(int, number[1].split("."))), path


# -- discovery ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    name: str
    dimension: str
    levels: tuple[tuple[str, str], ...]  # name and type; the topmost first

    def full(self, level: str) -> str:
        return f"{level}@{self.name}@{self.dimension}"

    def called(self, wanted: str) -> list[str]:
        """The levels that ``wanted`` may mean, by their full names."""
        return [
            self.full(level) for level, _ in self.levels if wanted in (level, f"{level}@{self.name}", self.full(level))
        ]

    def date(self) -> str | None:
        """The level that looks most like a date: by its type, else by its name; the finest of several."""
        typed = [level for level, kind in self.levels if kind == "TIME"]
        named = [level for level, _ in self.levels if _DATE_LIKE.search(level)]
        if not typed and not named and not _DATE_LIKE.search(self.name):
            return None
        return self.full((typed or named or [self.levels[-1][0]])[-1])


def _verdict(slicing: list[_Hierarchy], as_of_date: str | None) -> tuple[Verdict, tuple[str, ...], str]:
    others = tuple(hierarchy.full(hierarchy.levels[-1][0]) for hierarchy in slicing)
    if as_of_date is not None:
        meant = tuple(name for hierarchy in slicing for name in hierarchy.called(as_of_date))
        if not meant:
            there = f"slicing there: {', '.join(others)}" if others else "no hierarchy is slicing"
            return "missing", (), f"no slicing hierarchy has the level {as_of_date!r}; {there}"
        if len(meant) > 1:
            return "ambiguous", meant, f"{as_of_date!r} may mean {' or '.join(meant)}; name the dimension too"
        return "ok", meant, f"{meant[0]} is slicing"
    dates = tuple(date for hierarchy in slicing if (date := hierarchy.date()) is not None)
    if len(dates) > 1:
        return (
            "ambiguous",
            dates,
            f"several slicing hierarchies look like dates: {', '.join(dates)}; say which is meant",
        )
    if dates:
        return "ok", dates, f"{dates[0]} is slicing"
    if others:
        return "unverified", others, f"slicing, but not known to be a date: {', '.join(others)}"
    return "missing", (), "no slicing date hierarchy, which Limits needs to evaluate at a date"


def _unwrapped(discovery: Any) -> Any:
    """The answer itself: servers before 6.0 wrap it."""
    if isinstance(discovery, dict) and "status" in discovery and "catalogs" not in discovery:
        if discovery["status"] != "success":
            raise LimitsProtocolError("the session reports an error instead of its cubes", path="$.status")
        return discovery.get("data")
    return discovery


def _cubes(discovery: Any) -> Iterator[tuple[str, str, list[_Hierarchy]]]:
    for place, catalog in _items(discovery, "catalogs", "$"):
        name = _member(catalog, "name", place, str)
        for here, cube in _items(catalog, "cubes", place):
            yield name, _member(cube, "name", here, str), list(_slicing(cube, here))


def _slicing(cube: dict[str, Any], place: str) -> Iterator[_Hierarchy]:
    for here, dimension in _items(cube, "dimensions", place):
        owner = _member(dimension, "name", here, str)
        for there, hierarchy in _items(dimension, "hierarchies", here):
            name = _member(hierarchy, "name", there, str)
            slicing = _member(hierarchy, "slicing", there, bool)
            levels = [
                (_member(level, "name", spot, str), _member(level, "type", spot, str))
                for spot, level in _items(hierarchy, "levels", there)
            ]
            members = tuple(level for level in levels if level[1] != "ALL")
            if slicing and members and not {owner, name} & _NOT_DATES:
                yield _Hierarchy(name, owner, members)


# -- shapes ------------------------------------------------------------------------------------------------------------

_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def _expect(value: Any, place: str, kind: type) -> Any:
    if not isinstance(value, kind):
        raise LimitsProtocolError(f"{_WORDS[kind]} is expected, not {type(value).__name__}", path=place)
    return value


def _member(parent: Any, name: str, place: str, kind: type) -> Any:
    parent = _expect(parent, place, dict)
    if name not in parent:
        raise LimitsProtocolError(f"{name!r} is missing", path=place)
    return _expect(parent[name], f"{place}.{name}", kind)


def _items(parent: Any, name: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, item in enumerate(_member(parent, name, place, list)):
        here = f"{place}.{name}[{index}]"
        yield here, _expect(item, here, dict)
