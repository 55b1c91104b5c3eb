"""What a search asks for, and whether a file is it.

Contract: tcup sections 6.5 and 13.32.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.dls.fields import broken, invalid, is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.sandbox.tcup.dls.fields import Meta

__all__ = ["Term", "any_pattern", "checked_uris", "has_any", "size_test", "terms"]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
}
_SIZE = re.compile(r"(>=|<=|>|<|=)\s*(\d+(?:\.\d{1,3})?)\s*(B|KB|MB|GB|PB)", re.IGNORECASE)
_UNITS = {"B": 0, "KB": 1, "MB": 2, "GB": 3, "PB": 5}
_TOKEN = re.compile(r"\s*(?:([()])|([,&])|'([^']*)'|(>=|<=|!=|=|>|<)|([\w*:@.\[\]-]+))")
_NOT_IN_URIS = frozenset('%<>:"\\|?*')


def size_test(text: str) -> Callable[[int], bool]:
    """``>=10.5MB`` and the like; there is no TB."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise invalid("size", text, "size must be an operator, a number and one of B, KB, MB, GB, PB")
    compare, limit = _COMPARE[match[1]], float(match[2]) * 1024 ** _UNITS[match[3].upper()]
    return lambda size: compare(size, limit)


def any_pattern(text: str) -> Callable[[str], bool]:
    """A comma list of patterns: ``*`` is any text, the rest of it itself."""
    patterns = [re.compile(".*".join(map(re.escape, one.split("*"))), re.DOTALL) for one in text.split(",")]
    return lambda value: any(pattern.fullmatch(value) for pattern in patterns)


def checked_uris(text: str) -> frozenset[str]:
    """A comma list of URIs, which have no wildcard."""
    uris = text.split(",")
    for uri in uris:
        if not is_url(uri) and _NOT_IN_URIS & set(uri):
            raise invalid("uri", uri, 'uri must hold none of % < > : " \\ | ? *')
    return frozenset(uris)


@dataclass(frozen=True, slots=True)
class Term:
    """A key pattern, a value, or a key with an operator and a value."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None

    def fits(self, meta: Meta) -> bool:
        """Whether this pair is meant."""
        if self.key is not None and not any_pattern(self.key.lower())(meta.name.lower()):
            return False
        if self.operator in (None, "=") or self.value is None:
            return self.value is None or meta.value == self.value
        number = _number(meta.value)
        return number is not None and _COMPARE[self.operator or "="](number, float(self.value))


def has_any(asked: Iterable[Term], metadata: Iterable[Meta]) -> bool:
    """The server ORs all terms, even those that are joined by ``&``."""
    pairs = list(metadata)
    return any(term.fits(meta) for term in asked for meta in pairs)


def terms(query: str) -> list[Term]:
    """The terms of a metadata query; parentheses are decoration, as all are ORed."""
    if not query or query[-1] in ",& ":
        raise broken("a metadata query must not be empty or end in ',', '&' or a blank")
    found: list[Term] = []
    words: list[tuple[str, str]] = []
    depth = 0
    for kind, text in [*_tokens(query), ("join", "")]:
        if kind == "paren":
            depth += 1 if text == "(" else -1
            if depth < 0:
                raise broken("a parenthesis of the metadata query was never opened")
        elif kind == "join":
            found.append(_term(words))
            words = []
        else:
            words.append((kind, text))
    if depth:
        raise broken("a parenthesis of the metadata query is never closed")
    return found


def _tokens(query: str) -> list[tuple[str, str]]:
    kinds = ("paren", "join", "value", "operator", "key")
    found, at = [], 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            raise broken(f"the metadata query cannot be read from {query[at:]!r} on")
        found.append((kinds[(match.lastindex or 1) - 1], match[match.lastindex or 0]))
        at = match.end()
    return found


def _term(words: list[tuple[str, str]]) -> Term:
    match words:
        case [("key", key)]:
            return Term(key)
        case [("value", value)]:
            return Term(value=value)
        case [("key", key), ("operator", sign), ("value", value)]:
            if sign != "=" and _number(value) is None:
                raise broken(f"the operator {sign} needs a numeric value, not {value!r}")
            return Term(key, sign, value)
    raise broken("a term of a metadata query is a key, a quoted value, or both with an operator between them")


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None
