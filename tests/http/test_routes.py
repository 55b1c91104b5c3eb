"""Calls by name: what a table says, how it is replaced in parts, and what it learns from a server."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.http.routes import Route, Routes

TABLE = {
    "orders.list": Route("GET", "{api}/orders"),
    "orders.get": Route("GET", "{api}/orders/{id:int}"),
    "orders.search": Route("POST", "{api}/orders/search", reads=True, limit="search"),
    "orders.put": Route("PUT", "{api}/orders/{id:int}/items/{item}"),
    "orders.patch": Route("PATCH", "{api}/orders/{id:int}", idempotent=True),
    "orders.cancel": Route("DELETE", "{api}/orders/{id:int}", idempotent=False),
    "shops.get": Route("GET", "/shops/{name:str}"),
}


def routes(**more: Any) -> Routes:
    return Routes(TABLE, bases={"api": "/v1"}, **more)


def test_a_path_has_its_ids_encoded_and_its_base_before_it() -> None:
    assert routes().resolve("orders.put", id="7", item="a/b c") == ("PUT", "/v1/orders/7/items/a%2Fb%20c")
    assert routes().path("orders.list", api="/v9") == "/v9/orders"
    assert routes().path("shops.get", name="7") == "/shops/7"


@pytest.mark.parametrize(
    ("name", "ids", "words"),
    [
        ("orders.get", {"id": "x"}, "id must be a whole number, not 'x'"),
        ("orders.get", {"id": True}, "id must be a whole number"),
        ("orders.get", {}, "orders.get needs id"),
        ("orders.put", {"id": 1, "item": ".."}, "item must be a name or number"),
        ("orders.put", {"id": 1, "item": False}, "item must be a name or number"),
        ("shops.get", {"name": 7}, "name must be a name, not 7"),
        ("shops.list", {}, "has no shops.list"),
    ],
)
def test_what_makes_no_path_is_refused(name: str, ids: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        routes().path(name, **ids)


def test_a_replaced_entry_does_what_the_call_of_its_name_does() -> None:
    table = routes().with_({"orders.search": ("GET", "/find")}, orders_get=("POST", "{api}/order/{id}"))

    assert table.resolve("orders.search") == ("GET", "/find")
    assert table.options("orders.search") == {"idempotent": True, "limit": "search", "route": "/find"}
    assert (table.method("orders.get"), table.options("orders.get")["idempotent"]) == ("POST", True)
    own = table.with_(orders_get=Route("POST", "/x", limit="slow"))
    assert own.options("orders.get") == {"idempotent": False, "limit": "slow", "route": "/x"}
    with pytest.raises(ConfigError, match="whole number"):
        table.path("orders.get", id="x")
    assert routes() == routes().with_() != table


def test_the_table_says_what_may_be_repeated() -> None:
    assert {name for name in TABLE if routes().options(name)["idempotent"]} == TABLE.keys() - {"orders.cancel"}
    assert {name for name in TABLE if routes().entries[name].reads} == {
        "orders.list", "orders.get", "orders.search", "shops.get"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("GET", "orders"), "begins with a slash or {api}"),
        (("GET", "https://elsewhere.example/x"), "begins with a slash"),
        (("LOOK", "/orders"), "the method one of GET"),
        (("GET", "/orders/{number}"), "no number to fill in"),
        (("GET", "/orders/{id:float}"), "int or str, not float"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(entry: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        routes().with_(orders_get=entry)


def test_a_call_of_another_version_is_known_and_can_be_given() -> None:
    old = Routes({"orders.list": TABLE["orders.list"]}, bases={"api": "/v0"}, known=TABLE)

    with pytest.raises(ConfigError, match=r"no orders.get: if your server does, name its path with with_\(\)"):
        old.path("orders.get", id=1)
    assert old.with_(orders_get=("GET", "/o/{id}")).path("orders.get", id=1) == "/o/1"


def test_a_table_without_bases_learns_where_a_server_has_its_paths() -> None:
    table = Routes({"orders.get": Route("GET", "/orders/{id:int}"), "orders.add": Route("POST", "/orders")})
    theirs: Any = {"/api/v3/orders/{order}": {"get": {}, "delete": {}}, "/api/v3/orders": {"put": {}, "get": {}}}

    learnt = table.from_openapi({"paths": theirs})

    assert learnt.resolve("orders.get", id=7) == ("GET", "/api/v3/orders/7")
    assert learnt.resolve("orders.add") == ("PUT", "/api/v3/orders")
    with pytest.raises(ConfigError, match="whole number"):
        learnt.path("orders.get", id="x")


def test_below_a_base_only_what_begins_with_it_is_learnt() -> None:
    document: dict[str, dict[str, dict[str, Any]]] = {
        "paths": {"/app/v1/orders": {"get": {}}, "/app/shops/{x}": {"get": {}}}
    }

    learnt = routes().from_openapi(document, below="api")

    assert learnt.path("orders.list") == "/app/v1/orders"
    assert learnt.path("shops.get", name="x") == "/shops/x"
