"""Lists that come in pages: await the first page, or iterate over every item."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator

__all__ = ["Page", "Pager"]

T = TypeVar("T")

_LONGEST = 300  # characters of a cursor that an error tells


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page: its ``items``, and the cursor of the ``next`` one: any value, an object or list of the answer too.

    It is None on the last page. A page can be gone through, counted and indexed as its items can.
    """

    items: list[T] = field(default_factory=list)
    next: Any = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]

    def __repr__(self) -> str:
        from asyncconn.core.words import count

        return f"<Page of {count(len(self.items), 'item')}, {'the last' if self.next is None else 'more to come'}>"

    def _repr_html_(self) -> str:
        from asyncconn.core.tables import items_html

        return items_html(self.items, title=repr(self).strip("<>"))


class Pager(Generic[T]):
    """A list at a platform. Nothing is fetched before it is awaited or iterated, and each use starts anew.

        >>> page = await pager                     # the first page
        >>> async for item in pager: ...           # every item, page after page
        >>> everything = await pager.collect()     # a list of all

    ``fetch`` gets a cursor (None for the first page) and returns a :class:`Page`. A cursor that comes twice would go on
    for ever: ``ProtocolError``. ``scrub`` takes what nobody is to see out of the text of that, as a cursor may be
    anything; one that is an address is never in it.
    """

    def __init__(self, fetch: Callable[[Any], Awaitable[Page[T]]], *, scrub: Callable[[str], str] = str) -> None:
        self._fetch = fetch
        self._scrub = scrub

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: await it for the first page, iterate over all>"

    def __await__(self) -> Generator[Any, None, Page[T]]:
        return self._fetch(None).__await__()

    async def pages(self) -> AsyncGenerator[Page[T], None]:
        """Every page."""
        cursor: Any = None
        seen: set[Any] = set()
        while True:
            page = await self._fetch(cursor)
            yield page
            if page.next is None:
                return
            if (mark := _hashable(page.next)) in seen:
                raise ProtocolError(f"page {len(seen) + 1} leads back to {_told(page.next, self._scrub)}")
            seen.add(mark)
            cursor = page.next

    async def __aiter__(self) -> AsyncIterator[T]:
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for item in page.items:
                    yield item

    async def collect(self, limit: int | None = None) -> list[T]:
        """All items, or the first ``limit``."""
        items: list[T] = []
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                items.extend(page.items)
                if limit is not None and len(items) >= limit:
                    return items[:limit]
        return items


def _told(cursor: Any, scrub: Callable[[str], str]) -> str:
    text = repr(cursor)
    if "://" in text or "?" in text or (isinstance(cursor, str) and cursor.startswith("/")):
        return "an address that came before"  # some bear a credential that nobody here knows
    return scrub(text)[:_LONGEST]


def _hashable(cursor: Any) -> Any:
    """Equal for equal cursors, in a form that a set takes."""
    if isinstance(cursor, dict):
        return dict, frozenset((key, _hashable(value)) for key, value in cursor.items())
    if isinstance(cursor, list | tuple):
        return list, tuple(map(_hashable, cursor))
    try:
        hash(cursor)
    except TypeError:
        return type(cursor), repr(cursor)
    return cursor
