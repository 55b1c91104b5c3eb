"""What the data lake's catalogue can be asked, checked before it is sent. Pure functions. Contract: tcup section 6.5.

>>> [str(term) for term in terms("ver*, colour='blue' & size>='10'")]
['ver*', "colour='blue'", "size>='10'"]
>>> size(">= 10.5 mb")
'>=10.5MB'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from asyncconn.errors import ConfigError
from asyncconn.tcup import fields, patterns
from asyncconn.tcup.times import DLS_QUERY

__all__ = ["Term", "named", "only", "size", "sorting", "span", "terms", "terms_text"]

_SIZE = re.compile(r"\s*(>=|<=|>|<|=)\s*(\d{1,18}(?:\.\d{1,3})?)\s*([A-Za-z]+)\s*", re.ASCII).fullmatch
_UNITS = ("B", "KB", "MB", "GB", "PB")
_TERM = re.compile(
    r"\s*(?P<key>(?:dls:)?[\w*]+)?\s*(?:(?P<operator>>=|<=|!=|=|>|<)\s*)?(?P<value>'[^']*')?\s*", re.ASCII
).match
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII).fullmatch
_NEVER = frozenset(",'\"=&!")  # no value that is stored holds one of them
_SORTS = ("createdOn", "fileName", "size")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Match = Literal["any", "all"]
Sort = Literal["createdOn", "fileName", "size"]


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on metadata: that a file has such a ``key``, or such a ``value``, or that the two compare so."""

    key: str = ""
    operator: str = ""
    value: str | None = None

    def __str__(self) -> str:
        return f"{self.key}{self.operator}" if self.value is None else f"{self.key}{self.operator}'{self.value}'"


def terms(given: str | Mapping[str, Any], match: Match = "any") -> list[Term]:
    """The terms of a query: a text in the catalogue's grammar, or a mapping from key to the value that it has.

    In a text ``,`` and ``&`` stand between terms. A term is a key (``ver*``), a value (``'blue'``), or both with one of
    ``= != > >= < <=`` between them (``size>='10'``). Parentheses change nothing, and ``match="all"`` refuses them: the
    server takes any term for enough, so that all of them hold is found out with a request for each. Raises
    ``ConfigError`` that says which term is wrong.
    """
    if match not in ("any", "all"):
        raise ConfigError(f"match is 'any' or 'all', not {match!r}")
    if isinstance(given, Mapping):
        pairs = [(fields.metadata_key(key), fields.metadata_value(value, key)) for key, value in given.items()]
        if not pairs:
            raise ConfigError("metadata: the query is empty")
        return [Term(key, "=", value) for key, value in pairs]
    if not isinstance(given, str):
        raise ConfigError(f"metadata: a query is text or a mapping, not {type(given).__name__}")
    return _parsed(given, match)


def terms_text(found: list[Term]) -> str:
    """Terms as they are sent: one of them is enough, whatever stands between them."""
    return ",".join(map(str, found))


def size(given: str) -> str:
    """A condition on the size: an operator, a number of three decimals at most, a unit (B, KB of 1024 B, MB, GB, PB).

    Raises ``ConfigError``, for ``TB`` too: the catalogue does not know it.
    """
    text: object = given
    found = _SIZE(text) if isinstance(text, str) else None
    if found is None:
        raise ConfigError(f"size: such as '>=10.5MB' (> < = >= <=, three decimals at most), not {given!r}")
    unit = found[3].upper()
    if unit not in _UNITS:
        word = "the catalogue has no TB: say it in GB" if unit == "TB" else f"a unit is one of {', '.join(_UNITS)}"
        raise ConfigError(f"size: {word}, not {given!r}")
    return f"{found[1]}{found[2]}{unit}"


def span(since: datetime | None, until: datetime | None, default_zone: str | tzinfo | None = None) -> list[str]:
    """From and to, both included, as the catalogue reads them. Raises ``ConfigError``."""
    if since is None and until is None:
        return []
    try:
        begin = DLS_QUERY.write(_EPOCH if since is None else since, default_zone=default_zone)
        if until is None:
            return [begin]
        end = DLS_QUERY.write(until, default_zone=default_zone)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"time: {error}") from error
    if DLS_QUERY.read(begin) > DLS_QUERY.read(end):
        raise ConfigError(f"time: since {begin} is after until {end}")
    return [begin, end]


def sorting(given: str | None) -> str | None:
    """What results are sorted by. Raises ``ConfigError``."""
    if given is not None and given not in _SORTS:
        raise ConfigError(f"sort is one of {', '.join(_SORTS)}, not {given!r}")
    return given


def named(name: str, what: str) -> str:
    """A name, or a pattern with ``*``, as it is sent.

    The catalogue parts it at a comma, so that is sent as ``*``: what is found besides, :func:`only` leaves out.
    """
    given: object = name
    if not isinstance(given, str) or not given.strip() or not given.isprintable():
        raise ConfigError(f"{what}: a name or a pattern with '*', not {name!r}")
    if "," in name and "*" in name:
        raise ConfigError(f"{what}: a pattern holds no comma, at which the catalogue would part it: {name!r}")
    return name.replace(",", "*")


def only(names: list[str]) -> Callable[[Any], bool] | None:
    """Whether a name that was found is one that was asked for; None where the catalogue's own choice is right.

    >>> keep = only(["a,b.csv", "c*.csv"])
    >>> keep("a,b.csv"), keep("axb.csv"), keep("c1.csv")
    (True, False, True)
    """
    return patterns.only([patterns.Pattern(name) if "*" in name else name for name in names], ",")


# -- the grammar -------------------------------------------------------------------------------------------------------


def _parsed(text: str, match: Match) -> list[Term]:
    found: list[Term] = []
    at = open_ = 0
    while True:
        at, opened = _past(text, at, "(")
        open_ += opened
        here = _TERM(text, at)
        if here is None or here.end() == at or not (here["key"] or here["value"]):
            raise ConfigError(f"metadata: a term is missing at {_place(text, at)}")
        found.append(_checked(_term(here["key"], here["operator"], here["value"]), here[0].strip()))
        at, closed = _past(text, here.end(), ")")
        open_ -= closed
        if open_ < 0:
            raise ConfigError(f"metadata: a parenthesis closes that was not opened, at {_place(text, at)}")
        if (opened or closed) and match == "all":
            raise ConfigError("metadata: match='all' takes no parentheses: all terms hold together")
        if at == len(text):
            break
        if text[at] not in ",&":
            raise ConfigError(f"metadata: ',' or '&' is missing at {_place(text, at)}")
        at += 1
    if open_:
        raise ConfigError("metadata: a parenthesis is not closed")
    return found


def _past(text: str, at: int, mark: str) -> tuple[int, int]:
    """Behind blanks and such marks, and how many these were."""
    count = 0
    while at < len(text) and (text[at] == mark or text[at].isspace()):
        count += text[at] == mark
        at += 1
    return at, count


def _term(key: str | None, operator: str | None, value: str | None) -> Term:
    return Term(key or "", operator or "", None if value is None else value[1:-1])


def _checked(term: Term, shown: str) -> Term:
    if bool(term.operator) != bool(term.key and term.value is not None):
        raise ConfigError(f"metadata: {shown!r} is no key, no 'value', and no key, operator and 'value'")
    if term.value is not None:
        if not 1 <= len(term.value) <= 255 or not term.value.isprintable():
            raise ConfigError(f"metadata: a value has 1 to 255 printable characters, unlike that of {shown[:80]!r}")
        if wrong := sorted(_NEVER & set(term.value)):
            raise ConfigError(f"metadata: no value holds {' '.join(wrong)}, as that of {shown!r} does")
        if term.operator not in ("", "=") and not _NUMBER(term.value):
            raise ConfigError(f"metadata: {term.operator} compares numbers, not the text of {shown!r}")
    return term


def _place(text: str, at: int) -> str:
    return f"{text[at : at + 20]!r}" if at < len(text) else "its end"
