"""Lists that come in pages: where the items stand, and how an answer leads to the page after it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin

from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.http.outgoing import is_absolute
from asyncconn.http.rules import member
from asyncconn.http.shapes import readied, shaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.http.requesting import RequestOptions, Requests
    from asyncconn.http.response import Response

__all__ = ["Found", "LinkHeader", "NextPage", "NextUrl", "Offset", "PageNumber", "items_of", "pager", "way_of"]

# RFC 8288: <address>; name=token; name="text", and the next one after a comma.
_LINK = re.compile(r'\s*<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*+"|[^";,\s]*))?)*)\s*(?:,|\Z)').match
_PARAMETER = re.compile(r';\s*([^\s=;,]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^";,\s]*)))?').finditer


@dataclass(frozen=True, slots=True)
class Found:
    """A page as it came: the decoded answer, its headers, how many items it has, and the address that was asked."""

    answer: Any
    headers: Mapping[str, str]
    count: int
    address: str
    what: str


class NextPage(Protocol):
    """A way to go on: what the request for a cursor adds, and the cursor after an answer (None: that was the last)."""

    def params(self, cursor: Any) -> Mapping[str, Any]:
        """What the query of the page at ``cursor`` has more; None is the first page."""
        ...

    def after(self, cursor: Any, found: Found) -> object:
        """The cursor of the page after the one ``found`` at ``cursor``."""
        ...


@dataclass(frozen=True, slots=True)
class NextUrl:
    """The member ``at`` (dotted) of each answer is the address of the next page, whole or relative to this one's.

    It is asked as it is, without the ``params`` of the first. The last page has none, or null, or an empty text.
    """

    at: str = "next"

    def params(self, cursor: Any) -> Mapping[str, Any]:
        return {}

    def after(self, cursor: Any, found: Found) -> object:
        link = member(found.answer, self.at)
        if not link:
            return None
        if not isinstance(link, str):
            raise ProtocolError(f"{found.what}: the member {self.at!r} is {type(link).__name__}, not an address")
        return _joined(found, link)


@dataclass(frozen=True, slots=True)
class LinkHeader:
    """The header ``Link: <address>; rel="next"`` leads to the next page (RFC 8288); the last has none.

    ``relation`` is the word that marks it.
    """

    relation: str = "next"

    def params(self, cursor: Any) -> Mapping[str, Any]:
        return {}

    def after(self, cursor: Any, found: Found) -> object:
        every = getattr(found.headers, "getall", None)
        for header in every("Link", ()) if every is not None else [found.headers.get("Link", "")]:
            at = 0
            while link := _LINK(header, at):
                at = link.end()
                if self.relation in _relations(link[2]):
                    return _joined(found, link[1])
        return None


@dataclass(frozen=True, slots=True)
class Offset:
    """The parameter ``param`` says how many items to pass over. A page of fewer than ``size`` items is the last.

    ``size`` is what a full page has: where the platform takes it as a parameter, give it in ``params``, too.
    """

    param: str = "offset"
    size: int = 1

    def __post_init__(self) -> None:
        _full("Offset", self.size)

    def params(self, cursor: Any) -> Mapping[str, Any]:
        return {self.param: cursor or 0}

    def after(self, cursor: Any, found: Found) -> object:
        return None if found.count < self.size else (cursor or 0) + found.count


@dataclass(frozen=True, slots=True)
class PageNumber:
    """The parameter ``param`` counts the pages from ``first``. A page of fewer than ``size`` items is the last.

    Without the ``size`` of a full page it is the first empty one, at the cost of one more call.
    """

    param: str = "page"
    size: int = 1
    first: int = 1

    def __post_init__(self) -> None:
        _full("PageNumber", self.size)

    def params(self, cursor: Any) -> Mapping[str, Any]:
        return {self.param: self.first if cursor is None else cursor}

    def after(self, cursor: Any, found: Found) -> object:
        return None if found.count < self.size else (self.first if cursor is None else cursor) + 1


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The member ``at`` of an answer goes into the parameter ``param`` of the next request."""

    at: str
    param: str

    def params(self, cursor: Any) -> Mapping[str, Any]:
        return {} if cursor is None else {self.param: cursor}

    def after(self, cursor: Any, found: Found) -> object:
        return member(found.answer, self.at) or None


def way_of(next: str | NextPage, param: str) -> NextPage:  # noqa: A002 - what documentations call it
    """The way to go on: a member that holds the cursor is one."""
    return _Cursor(next, param) if isinstance(next, str) else next


def pager(
    road: Requests,
    path: str,
    *,
    items: str,
    next: str | NextPage,  # noqa: A002 - what documentations call it
    param: str,
    model: Any,
    options: RequestOptions,
) -> Pager[Any]:
    """See ``Transport.pages``."""
    way = way_of(next, param)
    given = options.get("params") or {}

    async def fetch(cursor: Any) -> Page[Any]:
        linked = cursor is not None and isinstance(way, NextUrl | LinkHeader)
        asked = cursor if linked else path

        def decode(response: Response) -> Page[Any]:
            what = f"{response.service}: {response.method} {response.path}"
            answer = response.json() if response.body else None
            rows = items_of(answer, items, what)
            address = asked if is_absolute(asked) else road.base_url + asked
            after = way.after(cursor, Found(answer, response.headers, len(rows), address, what))
            return Page(
                rows if model is None else shaped(rows, list[model], what, f"$.{items}" if items else "$"), after
            )

        await readied(None if model is None else list[model])
        every = {**options, "params": None if linked else {**given, **way.params(cursor)}, "decode": decode}
        page: Page[Any] = (await road.request("GET", asked, **every)).value
        return page

    return Pager(fetch, scrub=lambda text: road.redactor.scrub(text))


def items_of(answer: Any, at: str, what: str, misfit: type[ProtocolError] = ProtocolError) -> list[Any]:
    """The list of a page; null is an empty one, as some servers write it. None at all would be taken for the end."""
    holder, _, name = at.rpartition(".")
    inside = member(answer, holder) if holder else answer
    found = inside if not at else inside.get(name, _NOTHING) if isinstance(inside, dict) else _NOTHING
    if found is None and at:
        return []
    if isinstance(found, list):
        return found
    where = f"no member {at!r}" if found is _NOTHING else f"{type(found).__name__} at {at or '$'!r}, not a list"
    raise misfit(f"{what}: the answer has {where}: that is where the items of a page were to be")


_NOTHING = object()


def _relations(parameters: str) -> list[str]:
    """The words of the first ``rel``: a second one does not count."""
    every = ((one[2] or one[3] or "").lower().split() for one in _PARAMETER(parameters) if one[1].lower() == "rel")
    return next(every, [])


def _joined(found: Found, link: str) -> str:
    """The address that a link means, read at the address where it stood."""
    try:
        return urljoin(found.address, link)
    except ValueError:
        pass
    raise ProtocolError(f"{found.what}: the link to the next page is no address")


def _full(name: str, size: int) -> None:
    if size < 1:
        raise ConfigError(f"{name}: a full page has at least 1 item, not {size}")
