"""Lists in pages, by all the ways in which platforms lead from one page to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from loopback import DROP, Loopback, QuickClock, Reply, Seen, road, saying

from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.http.auth import TokenAuth
from asyncconn.http.pages import LinkHeader, NextUrl, Offset, PageNumber

if TYPE_CHECKING:
    from collections.abc import Callable


def slices(count: int, size: int, param: str, first: int | None = None) -> Callable[[Seen], Reply]:
    """A server whose parameter is an offset, or (with the number of the ``first``) a page."""

    def answer(seen: Seen) -> Reply:
        given = int(parse_qs(seen.query)[param][0])
        start = given if first is None else (given - first) * size
        return saying({"items": list(range(count))[start : start + size]})

    return answer


# -- cursors -----------------------------------------------------------------------------------------------------------


async def test_a_cursor_goes_into_its_parameter_beside_the_others() -> None:
    replies = [
        saying({"data": {"rows": [1, 2]}, "meta": {"next": "a&b"}}),
        saying({"data": {"rows": []}, "meta": {"next": 7}}),
        saying({"data": {"rows": [3]}, "meta": {"next": None}}),
    ]
    async with Loopback(*replies) as server, road(server) as http:
        pager = http.pages("/l", items="data.rows", next="meta.next", param="from", params={"day": "x"}, timeout=5)
        assert await pager.collect() == [1, 2, 3]

    assert [one.target for one in server.seen] == ["/l?day=x", "/l?day=x&from=a%26b", "/l?day=x&from=7"]


@pytest.mark.parametrize("last", [{}, {"next": None}, {"next": ""}, {"next": False}, {"next": 0}])
async def test_where_there_is_no_cursor_is_the_last_page(last: dict[str, Any]) -> None:
    replies = [saying({"items": [1], "next": "x"}), saying({"items": [2], **last})]
    async with Loopback(*replies) as server, road(server) as http:
        assert await http.pages("/l").collect() == [1, 2]

    assert len(server.seen) == 2


async def test_a_page_may_be_awaited_alone_and_the_answer_may_be_the_list() -> None:
    async with Loopback(saying({"items": [1], "next": "x"}), saying([1, 2])) as server, road(server) as http:
        page = await http.pages("/l")
        assert (page.items, page.next) == ([1], "x")
        assert await http.pages("/l", items="").collect() == [1, 2]


async def test_a_cursor_that_leads_back_is_refused() -> None:
    async with Loopback(otherwise=saying({"items": [1], "next": "x"})) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="leads back"):
            await http.pages("/l").collect()

    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("answer", "items", "what"),
    [
        ({"data": []}, "items", "no member 'items'"),
        ({"data": None}, "data.items", "no member 'data.items'"),
        ([1], "items", "no member 'items'"),
        ({"items": {"a": 1}}, "items", "dict at 'items', not a list"),
        ({"items": [1]}, "", "dict at '\\$', not a list"),
        (None, "", "NoneType at '\\$', not a list"),
    ],
)
async def test_an_answer_without_its_items_is_no_empty_page(answer: Any, items: str, what: str) -> None:
    async with Loopback(saying(answer)) as server, road(server) as http:
        with pytest.raises(ProtocolError, match=f"test: GET /l: the answer has {what}"):
            await http.pages("/l", items=items).collect()


async def test_null_is_an_empty_page() -> None:
    async with Loopback(saying({"items": None, "next": "x"}), saying({"items": [1]})) as server, road(server) as http:
        assert await http.pages("/l").collect() == [1]


async def test_a_page_that_broke_off_is_asked_for_again() -> None:
    replies = [saying({"items": [1], "next": "x"}), DROP, saying({"items": [2]})]
    async with Loopback(*replies) as server, road(server, clock=QuickClock()) as http:
        assert await http.pages("/l").collect() == [1, 2]


async def test_items_are_models() -> None:
    @dataclass
    class Row:
        id: int

    replies = [saying({"data": [{"id": 1}], "next": "x"}), saying({"data": [{"id": 2}, {"id": "s3cret"}]})]
    async with Loopback(*replies) as server, road(server) as http:
        rows = aiter(http.pages("/l", items="data", model=Row))
        assert (await anext(rows)).id == 1
        with pytest.raises(ProtocolError, match=r"\$\.data\[1\]\.id: int parsing") as caught:
            await anext(rows)

    assert "s3cret" not in str(caught.value)


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["{url}/v1/l?at=2", "/v1/l?at=2", "?at=2", "l?at=2", "../v1/l?at=2"])
async def test_a_next_url_is_read_at_the_address_of_its_page(link: str) -> None:
    async with Loopback() as server, road(f"{server.url}/v1", auth=TokenAuth("t0ken")) as http:
        url = link.format(url=server.url)
        server.replies.extend([saying({"items": [1], "links": {"next": url}}), saying({"items": [2], "links": {}})])
        pager = http.pages("/l", next=NextUrl("links.next"), params={"size": 1})
        assert await pager.collect() == [1, 2]

    assert [one.target for one in server.seen] == ["/v1/l?size=1", "/v1/l?at=2"]
    assert {one.headers["authorization"] for one in server.seen} == {"Bearer t0ken"}


@pytest.mark.parametrize("link", ["http://other.example/l", "//other.example/l", "https://127.0.0.1/l"])
async def test_a_link_to_another_host_is_refused(link: str) -> None:
    async with Loopback(saying({"items": [1], "next": link})) as server, road(server, auth=TokenAuth("t")) as http:
        with pytest.raises(ConfigError, match="the credential stays here"):
            await http.pages("/l", next=NextUrl()).collect()

    assert len(server.seen) == 1


@pytest.mark.parametrize(("link", "error"), [(7, "is int, not an address"), ("http://[", "is no address")])
async def test_what_is_no_link_is_a_protocol_error(link: Any, error: str) -> None:
    async with Loopback(saying({"items": [1], "next": link})) as server, road(server) as http:
        with pytest.raises(ProtocolError, match=error):
            await http.pages("/l", next=NextUrl()).collect()


@pytest.mark.parametrize("next", [NextUrl(), "next"], ids=["an address", "a cursor"])
async def test_the_error_of_pages_that_lead_back_shows_no_credential_of_theirs(next: Any) -> None:  # noqa: A002 - as above
    again = saying({"items": [1], "next": "at7&access_token=s3cret-t0ken"})
    async with Loopback(otherwise=again) as server, road(server, auth=TokenAuth("s3cret-t0ken")) as http:
        with pytest.raises(ProtocolError, match="leads back") as caught:
            await http.pages("/l", next=next).collect()

    assert "s3cret" not in str(caught.value)


async def test_links_that_lead_back_are_refused() -> None:
    async with Loopback(otherwise=saying({"items": [1], "next": "/l?at=2"})) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="leads back"):
            await http.pages("/l", next=NextUrl()).collect()

    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "header",
    [
        '</l?at=2>; rel="next"',
        "<?at=2>;rel=next",
        '<{url}/l?at=1>; rel="prev", <{url}/l?at=2>; title="a, \\"b\\" <c>; rel=x"; rel="last next"',
        '</first>; rel=first , </l?at=2>; REL = "NEXT"',
    ],
)
async def test_the_link_header_leads_to_the_next_page(header: str) -> None:
    async with Loopback() as server, road(server) as http:
        first = saying([1], Link=header.format(url=server.url))
        server.replies.extend([first, saying([2], Link='</l>; rel="prev"')])
        assert await http.pages("/l", items="", next=LinkHeader()).collect() == [1, 2]

    assert [one.target for one in server.seen] == ["/l", "/l?at=2"]


@pytest.mark.parametrize("header", ["", "nonsense", '</l?at=2>; rel="nextpage"', '</l?at=2>; title="rel=next"', "<"])
async def test_a_header_without_such_a_link_ends_the_list(header: str) -> None:
    async with Loopback(saying([1], Link=header)) as server, road(server) as http:
        assert await http.pages("/l", items="", next=LinkHeader()).collect() == [1]


async def test_several_link_headers_are_all_looked_at() -> None:
    body = b"[1]"
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nLink: </a>; rel=prev\r\nLink: </b>; rel=next\r\n\r\n"
    async with Loopback(Reply(raw=head + body), saying([2])) as server, road(server) as http:
        assert await http.pages("/l", items="", next=LinkHeader()).collect() == [1, 2]


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (3, 1), (4, 2), (10, 3), (12, 4)])
async def test_an_offset_goes_on_until_a_page_is_short(count: int, calls: int) -> None:
    async with Loopback(otherwise=slices(count, 4, "offset")) as server, road(server) as http:
        pager = http.pages("/l", next=Offset("offset", 4), params={"limit": 4})
        assert await pager.collect() == list(range(count))

    assert len(server.seen) == calls
    assert server.seen[0].query == "limit=4&offset=0"


@pytest.mark.parametrize(("size", "calls"), [({"size": 4}, 3), ({}, 4)])
@pytest.mark.parametrize("first", [0, 1])
async def test_page_numbers_go_on_until_a_page_is_short_or_empty(size: Any, calls: int, first: int) -> None:
    async with Loopback(otherwise=slices(10, 4, "p", first)) as server, road(server) as http:
        assert await http.pages("/l", next=PageNumber("p", first=first, **size)).collect() == list(range(10))

    assert len(server.seen) == calls


def test_a_full_page_has_at_least_one_item() -> None:
    with pytest.raises(ConfigError):
        Offset("offset", 0)
    with pytest.raises(ConfigError):
        PageNumber(size=0)
