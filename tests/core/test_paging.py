"""Lists that come in pages."""

from __future__ import annotations

import copy
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Book:
    """Pages of three numbers each."""

    def __init__(self, count: int, *, next_of: dict[Any, Any] | None = None) -> None:
        self.numbers = list(range(count))
        self.asked: list[Any] = []
        self.next_of = next_of

    async def fetch(self, cursor: Any) -> Page[int]:
        self.asked.append(cursor)
        if self.next_of is not None:
            return Page([len(self.asked)], self.next_of.get(cursor))
        start = cursor or 0
        items = self.numbers[start : start + 3]
        return Page(items, start + 3 if len(items) == 3 else None)


async def test_nothing_is_fetched_before_it_is_asked_for() -> None:
    book = Book(7)
    Pager(book.fetch)

    assert book.asked == []


async def test_awaiting_gives_the_first_page() -> None:
    book = Book(7)
    page = await Pager(book.fetch)

    assert (page.items, page.next, book.asked) == ([0, 1, 2], 3, [None])


async def test_iterating_gives_every_item_and_each_iteration_starts_anew() -> None:
    book = Book(7)
    pager = Pager(book.fetch)

    assert [item async for item in pager] == list(range(7))
    assert [item async for item in pager] == list(range(7))
    assert book.asked == [None, 3, 6] * 2


async def test_leaving_early_fetches_no_further_page() -> None:
    book = Book(7)
    async for item in Pager(book.fetch):
        if item == 1:
            break

    assert book.asked == [None]


async def test_pages_can_be_seen_one_by_one() -> None:
    assert [page.items async for page in Pager(Book(4).fetch).pages()] == [[0, 1, 2], [3]]


@pytest.mark.parametrize(
    ("limit", "items", "pages"), [(None, 7, 3), (1, 1, 1), (3, 3, 1), (4, 4, 2), (7, 7, 3), (99, 7, 3)]
)
async def test_collecting_fetches_no_more_pages_than_it_needs(limit: int | None, items: int, pages: int) -> None:
    book = Book(7)

    assert await Pager(book.fetch).collect(limit) == list(range(items))
    assert len(book.asked) == pages


async def test_an_empty_list_is_empty() -> None:
    assert await Pager(Book(0).fetch).collect() == []


@pytest.mark.parametrize("next_of", [{None: "a", "a": "a"}, {None: "a", "a": "b", "b": "a"}])
async def test_pages_that_lead_in_a_circle_are_an_error(next_of: dict[Any, Any]) -> None:
    book = Book(0, next_of=next_of)
    with pytest.raises(ProtocolError, match="leads back"):
        await Pager(book.fetch).collect()

    assert len(book.asked) == len(next_of)


async def test_an_error_of_a_page_ends_the_iteration_after_what_came_before() -> None:
    async def fetch(cursor: Any) -> Page[int]:
        if cursor:
            raise ProtocolError("broken")
        return Page([1], 2)

    seen: list[int] = []

    async def read() -> None:
        async for item in Pager(fetch):
            seen.append(item)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ProtocolError, match="broken"):
        await read()
    assert seen == [1]


async def test_pages_are_closed_when_a_list_is_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    pages = Pager.pages

    async def watched(pager: Pager[int]) -> AsyncGenerator[Page[int], None]:
        try:
            async for page in pages(pager):
                yield page
        finally:
            closed.append("pages")

    monkeypatch.setattr(Pager, "pages", watched)
    assert await Pager(Book(9).fetch).collect(2) == [0, 1]
    assert closed == ["pages"]
    async with aclosing(aiter(Pager(Book(9).fetch))) as items:  # type: ignore[type-var] # it is a generator
        assert await anext(items) == 0
    assert closed == ["pages", "pages"]


class _Odd:
    """Neither hashable nor comparable by value."""

    __hash__ = None  # type: ignore[assignment] # that is the point

    def __repr__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    "make",
    [
        lambda at: {"id": at},
        lambda at: {"key": {"id": [at, {"sort": [1, None]}]}},
        lambda at: [at, "2030-01-01"],
        lambda at: ([at], {"a": at}),
        lambda at: {at},
        lambda at: bytearray([at]),
    ],
)
async def test_a_cursor_may_be_any_value(make: Any) -> None:
    async def fetch(cursor: Any) -> Page[int]:
        at = 0 if cursor is None else next(one for one in range(9) if make(one) == cursor)
        return Page([at], make(at + 1) if at < 3 else None)

    assert await Pager(fetch).collect() == [0, 1, 2, 3]


@pytest.mark.parametrize("cursor", [{"id": 1}, [1, [2]], {"b": 1, "a": {1: 2}}, {1, 2}, bytearray(b"x"), _Odd()])
async def test_a_cursor_that_comes_twice_is_an_error_whatever_it_is(cursor: Any) -> None:
    asked = 0

    async def fetch(given: Any) -> Page[int]:
        nonlocal asked
        asked += 1
        return Page([1], copy.copy(cursor))

    with pytest.raises(ProtocolError, match="leads back"):
        await Pager(fetch).collect()
    assert asked == 2


@pytest.mark.parametrize(
    "cursor",
    [
        "https://acme.example/l?access_token=t0ken",
        "/l?access_token=t0ken",
        "l?access_token=t0ken",
        {"next": "https://acme.example/l?access_token=t0ken"},
    ],
)
async def test_a_cursor_that_is_an_address_is_not_told(cursor: Any) -> None:
    async def fetch(given: Any) -> Page[int]:
        return Page([1], cursor)

    with pytest.raises(ProtocolError, match="page 2 leads back") as caught:
        await Pager(fetch).collect()
    assert "t0ken" not in str(caught.value)


async def test_of_a_cursor_no_credential_is_told() -> None:
    async def fetch(given: Any) -> Page[int]:
        return Page([1], "after 7 for t0ken")

    with pytest.raises(ProtocolError, match=r"leads back to 'after 7 for [*]{3}'"):
        await Pager(fetch, scrub=lambda text: text.replace("t0ken", "***")).collect()
