"""Calls by their names: a table of methods and paths that can be replaced in parts, and learnt from a server."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import KW_ONLY, dataclass, replace
from types import MappingProxyType
from typing import Any, Self, SupportsIndex
from urllib.parse import quote

from asyncconn.errors import ConfigError

__all__ = ["Route", "Routes", "number"]

_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_HARMLESS = frozenset({"GET", "PUT", "DELETE"})
_HOLE = re.compile(r"\{([^{}/:]+)(?::(\w*))?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One call: its method, and its path below the base URL, with a hole for each id: ``/v1/orders/{id}``.

    ``{id}`` takes a name or a whole number, ``{id:int}`` a whole number, ``{name:str}`` a text: one segment of the
    path, percent-encoded. ``reads`` is whether it changes nothing (by default a GET does not), ``idempotent`` whether a
    repetition is harmless (by default where it reads, or its method implies that), ``limit`` its limiter.

    >>> Route("POST", "/v1/orders/search", reads=True).idempotent
    True
    """

    method: str
    path: str
    _: KW_ONLY
    reads: bool | None = None
    idempotent: bool | None = None
    limit: str = "default"

    def __post_init__(self) -> None:
        if self.reads is None:
            object.__setattr__(self, "reads", self.method == "GET")
        if self.idempotent is None:
            object.__setattr__(self, "idempotent", self.reads or self.method in _HARMLESS)


class Routes:
    """A table of calls by name. ``bases`` are what paths may begin with, by the name of their hole.

        >>> routes = Routes(
        ...     {"orders.list": Route("GET", "{api}/orders"), "orders.get": Route("GET", "{api}/orders/{id:int}")},
        ...     bases={"api": "/v1"},
        ... )
        >>> routes.resolve("orders.get", id=7)
        ('GET', '/v1/orders/7')
        >>> routes.with_(orders_get=("GET", "/v2/order/{id}")).path("orders.get", id=7)
        '/v2/order/7'

    ``known`` has the calls of other versions too: a table may be given those later. Raises ``ConfigError`` for an entry
    that cannot be.
    """

    #: Whose table it is, in the words of an error.
    owner = "this table"

    def __init__(
        self,
        entries: Mapping[str, Route],
        *,
        bases: Mapping[str, str] | None = None,
        known: Mapping[str, Route] | None = None,
    ) -> None:
        self._bases = dict(bases or {})
        self._known = dict(entries if known is None else known)
        self._entries = {name: self._checked(name, entry) for name, entry in entries.items()}
        self._templates: dict[str, str] = {}  # those that were asked for

    @property
    def entries(self) -> Mapping[str, Route]:
        """Every call of the table, by name."""
        return MappingProxyType(self._entries)

    def with_(self, changes: Mapping[str, Any] | None = None, /, **named: Any) -> Self:
        """A table with other entries, by name; as a keyword an underscore stands for the dot.

        An entry is a :class:`Route`, or the pair of method and path: then it does what the call of that name does.
        """
        dotted = {name.replace(".", "_"): name for name in self._known}
        every = {**(changes or {}), **{dotted.get(name, name): entry for name, entry in named.items()}}
        made = copy(self)
        made._entries = {**self._entries, **{name: self._checked(name, entry) for name, entry in every.items()}}
        made._templates = {}
        return made

    def based(self, bases: Mapping[str, str]) -> Self:
        """The same table with other bases, by the name of their hole. Raises ``ConfigError`` for one it has not."""
        if strange := bases.keys() - self._bases.keys():
            raise ConfigError(f"{self.owner} has no base {sorted(strange)[0]!r}: {', '.join(sorted(self._bases))}")
        made = copy(self)
        made._bases = {**self._bases, **bases}
        made._templates = {}
        return made

    def method(self, name: str) -> str:
        """The method of a call. Raises ``ConfigError`` when the table has no such entry."""
        return self._entry(name).method

    def path(self, name: str, /, **values: Any) -> str:
        """The path of a call, with its ids filled in and percent-encoded; a base among them stands for the table's own.

        Raises ``ConfigError`` for an id that is missing, or that its place cannot have.
        """
        kinds = dict(_HOLE.findall(self._known[name].path)) if name in self._known else {}

        def fill(hole: re.Match[str]) -> str:
            what = hole[1]
            if what in self._bases:
                return str(values.get(what, self._bases[what]))
            if what not in values:
                raise ConfigError(f"{name} needs {what}: {self._entry(name).path}")
            return _KINDS[hole[2] or kinds.get(what, "")](values[what], what)

        return _HOLE.sub(fill, self._entry(name).path)

    def resolve(self, name: str, /, **values: Any) -> tuple[str, str]:
        """Method and path of a call."""
        return self.method(name), self.path(name, **values)

    def options(self, name: str) -> dict[str, Any]:
        """What a request of this name is sent with: its ``idempotent``, its ``limit`` and its ``route``."""
        entry = self._entry(name)
        return {"idempotent": entry.idempotent, "limit": entry.limit, "route": self.template(name)}

    def template(self, name: str) -> str:
        """The path of a call with its bases, and a hole for each id."""
        known = self._templates.get(name)
        if known is None:
            known = self._templates[name] = _HOLE.sub(
                lambda hole: self._bases.get(hole[1], f"{{{hole[1]}}}"), self._entry(name).path
            )
        return known

    def from_openapi(self, document: Any, *, below: str = "") -> Self:
        """This table, corrected by a server's OpenAPI document.

        A path of the document belongs to an entry if it ends like the entry's own, below the base of that name if one
        is given. Where none does, or several and none of them exactly, the entry stays as it is; what reads never
        becomes a write, nor a write what reads. Raises ``ConfigError`` for something else than such a document.
        """
        found = document.get("paths") if isinstance(document, Mapping) else None
        if not isinstance(found, Mapping):
            raise ConfigError("an OpenAPI document has an object 'paths'")
        theirs = {str(path): item for path, item in found.items() if isinstance(item, Mapping)}
        base = f"{{{below}}}" if below else "/"
        begin = base.rstrip("/")
        changes = {
            name: learnt
            for name, entry in self._entries.items()
            if entry.path.startswith(base)
            and (learnt := self._learnt(theirs, entry, entry.path.removeprefix(begin))) is not None
        }
        return self.with_(changes)

    def _learnt(self, theirs: Mapping[str, Mapping[str, Any]], entry: Route, end: str) -> Route | None:
        own = [hole[1] for hole in _HOLE.finditer(end)]
        whole = _HOLE.sub(lambda hole: self._bases.get(hole[1], hole[0]), entry.path)
        found = {
            path: chosen
            for path, item in theirs.items()
            if _shape(path).endswith(_shape(end))
            and len(_HOLE.findall(path)) == len(own)
            and (chosen := _chosen(entry, [word.upper() for word in item])) is not None
        }
        best = [path for path in found if _shape(path) == _shape(whole)] or list(found)
        if len(best) != 1:
            return None
        ours = iter(own)  # their names of the ids may be others; the order is the same
        return replace(entry, method=found[best[0]], path=_HOLE.sub(lambda _: f"{{{next(ours)}}}", best[0]))

    def _entry(self, name: str) -> Route:
        try:
            return self._entries[name]
        except KeyError:
            advice = "if your server does, name its path with with_()" if name in self._known else "look at its entries"
            raise ConfigError(f"{self.owner} has no {name}: {advice}") from None

    def _checked(self, name: str, entry: Any) -> Route:
        if name not in self._known:
            raise ConfigError(f"there is no path {name!r}: they are {', '.join(sorted(self._known))}")
        known = self._known[name]
        if isinstance(entry, tuple) and len(entry) == 2:
            entry = replace(known, method=entry[0], path=entry[1])
        if not isinstance(entry, Route) or entry.method not in _METHODS:
            raise ConfigError(f"the path {name!r} is (method, template), the method one of {', '.join(_METHODS)}")
        begins = ("/", *(f"{{{base}}}" for base in self._bases))
        if not str(entry.path).startswith(begins):
            raise ConfigError(f"the template of {name!r} begins with {' or '.join(['a slash', *begins[1:]])}")
        holes = _HOLE.findall(entry.path)
        if wrong := {hole for hole, _ in holes} - {hole for hole, _ in _HOLE.findall(known.path)} - {*self._bases}:
            raise ConfigError(f"the template of {name!r} has no {', '.join(sorted(wrong))} to fill in")
        if strange := {kind for _, kind in holes} - {*_KINDS}:
            raise ConfigError(f"the template of {name!r} fills in int or str, not {', '.join(sorted(strange))}")
        return entry

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Routes):
            return NotImplemented
        return (self._entries, self._bases) == (other._entries, other._bases)

    __hash__ = None  # type: ignore[assignment] # equal tables are equal by what they hold

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._entries)} calls>"


def number(value: Any, what: str = "id") -> int:
    """An id as the whole number it is, also one out of a frame (NumPy's). Raises ``ConfigError``.

    >>> number(" 7 ")
    7
    """
    found: Any = value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}\s*", value, re.ASCII):
        found = int(value)
    elif isinstance(value, SupportsIndex) and not isinstance(value, bool):
        found = operator.index(value)
    if type(found) is not int or found < 0:
        raise ConfigError(f"{what} must be a whole number, not {value!r}")
    return found


def _number(value: Any, what: str) -> str:
    return str(number(value, what))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or value.strip() in ("", ".", ".."):
        raise ConfigError(f"{what} must be a name, not {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:  # half of a character
        raise ConfigError(f"{what} must be a name, not {value!r}") from None


def _segment(value: Any, what: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return _text(value, what)
    except ConfigError:
        raise ConfigError(f"{what} must be a name or number, not {value!r}") from None


_KINDS = {"int": _number, "str": _text, "": _segment}


def _chosen(entry: Route, offered: list[str]) -> str | None:
    """The method to use of those a path offers, None if it is another call."""
    if entry.method in offered:
        return entry.method
    alike = {"GET", "POST"} if entry.reads else {"POST", "PUT"}
    fitting = [word for word in offered if {word, entry.method} <= alike]
    return fitting[0] if len(fitting) == 1 else None


def _shape(template: str) -> str:
    return _HOLE.sub("{}", template)
