"""A noun in a few lines: what it asks of its client, and what its answers become."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply

from asyncconn import Connector, NextUrl, Offset, Pager, Platform
from asyncconn.errors import ConfigError, NotPicklable, ProtocolError
from asyncconn.http.response import Response
from asyncconn.http.routes import Route, Routes
from asyncconn.resource import Calling, Resource

if TYPE_CHECKING:
    import builtins

ROUTES = Routes(
    {
        "orders.list": Route("GET", "/v1/orders"),
        "orders.get": Route("GET", "/v1/orders/{id:int}"),
        "orders.save": Route("POST", "/v1/orders"),
    }
)


@dataclass
class Order:
    id: int


class Orders(Resource):
    def list(self) -> Pager[Order]:
        return self._pages(Order, "orders.list", items="data", next="cursor")

    def by_offset(self) -> Pager[Order]:
        return self._pages(Order, "orders.list", next=Offset(size=2), params={"open": True})

    def linked(self) -> Pager[Order]:
        return self._pages(Order, "orders.list", next=NextUrl("next"))

    async def get(self, id: int, **options: Any) -> Order:  # noqa: A002 - what it is called everywhere
        return await self._one(Order, "orders.get", ids={"id": id}, **options)

    async def save(self, orders: builtins.list[dict[str, Any]]) -> builtins.list[Order]:
        return await self._many(Order, "orders.save", json=orders)


class Acme(Connector):
    platform = Platform("acme")

    def __init__(self, *, routes: Routes = ROUTES, **options: Any) -> None:
        super().__init__(**options)
        self.orders = Orders(Calling(self.http, routes))


async def test_one_many_and_pages_go_by_the_table() -> None:
    answers = (
        b'{"id": 7}',
        b'[{"id": 1}, {"id": 2}]',
        b'{"data": [{"id": 1}], "cursor": "b"}',
        b'{"data": [{"id": 2}], "cursor": null}',
    )
    async with Loopback(*(Reply(200, body) for body in answers)) as server, Acme(base_url=server.url) as acme:
        assert await acme.orders.get(7) == Order(7)
        assert await acme.orders.save([{"id": 1}, {"id": 2}]) == [Order(1), Order(2)]
        assert [one async for one in acme.orders.list()] == [Order(1), Order(2)]

    assert [(seen.method, seen.target) for seen in server.seen] == [
        ("GET", "/v1/orders/7"),
        ("POST", "/v1/orders"),
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders?cursor=b"),
    ]


async def test_what_the_table_says_of_a_call_goes_along_unless_the_caller_says_otherwise() -> None:
    table = Routes({"orders.get": Route("POST", "/find/{id:int}", reads=True, limit="search")})
    sent: list[dict[str, Any]] = []

    async def request(method: str, path: str, **options: Any) -> Response:
        sent.append(options)
        return Response("acme", method, path, 200, {}, b'{"id": 7}')

    orders = Orders(Calling(SimpleNamespace(request=request), table))  # type: ignore[arg-type] # all that it asks of one
    await orders.get(7)
    await orders.get(7, idempotent=False, timeout=1.0)

    assert sent == [
        {"idempotent": True, "limit": "search", "route": "/find/{id}"},
        {"idempotent": False, "limit": "search", "route": "/find/{id}", "timeout": 1.0},
    ]


async def test_a_way_that_counts_goes_on_after_a_full_page() -> None:
    full, last = Reply(200, b'[{"id": 1}, {"id": 2}]'), Reply(200, b'[{"id": 3}]')
    async with Loopback(full, last) as server, Acme(base_url=server.url) as acme:
        assert [one.id for one in await acme.orders.by_offset().collect()] == [1, 2, 3]

    assert [seen.target for seen in server.seen] == ["/v1/orders?open=true&offset=0", "/v1/orders?open=true&offset=2"]


async def test_the_first_page_is_what_awaiting_gives_and_is_gone_through_like_its_items() -> None:
    async with Loopback(Reply(200, b'[{"id": 1}, {"id": 2}]')) as server, Acme(base_url=server.url) as acme:
        page = await acme.orders.by_offset()

    assert [one.id for one in page] == [1, 2]
    assert (len(page), page[1], page.next) == (2, Order(2), 2)


async def test_links_are_no_calls_of_a_table() -> None:
    async with Acme(base_url="http://127.0.0.1:1") as acme:
        with pytest.raises(ConfigError, match="follow links"):
            acme.orders.linked()


@pytest.mark.parametrize("body", [b'{"id": "x"}', b"[]", b""])
async def test_an_answer_of_another_shape_is_a_protocol_error(body: bytes) -> None:
    async with Loopback(Reply(200, body)) as server, Acme(base_url=server.url) as acme:
        with pytest.raises(ProtocolError):
            await acme.orders.get(7)


@pytest.mark.parametrize("body", [b'{"items": []}', b"[]", b'{"data": 7}'])
async def test_a_page_without_its_items_is_a_protocol_error(body: bytes) -> None:
    async with Loopback(Reply(200, body)) as server, Acme(base_url=server.url) as acme:
        with pytest.raises(ProtocolError, match="items of a page"):
            await acme.orders.list()


async def test_a_client_with_another_table_calls_elsewhere_and_an_option_goes_along() -> None:
    moved = ROUTES.with_(orders_get=("GET", "/v2/order/{id}"))
    async with Loopback(Reply(200, b'{"id": 7}')) as server, Acme(base_url=server.url, routes=moved) as acme:
        await acme.orders.get(7, params={"deep": True})
        with pytest.raises(NotPicklable, match="make a client there"):
            acme.orders.__reduce_ex__(2)

    assert [seen.target for seen in server.seen] == ["/v2/order/7?deep=true"]
