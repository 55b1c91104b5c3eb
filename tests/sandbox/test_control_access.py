"""Who may use the sandbox's page and control, what they are sent, and whether the document says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.sandbox.control.operations import BASE, OPERATIONS
from asyncconn.sandbox.exchange import Call

from .control_scene import Control
from .scene import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with standing(seed=1) as (sandbox, http):
        yield Control(sandbox, http)


# -- who may -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # a name of a page's own that leads here: DNS rebinding
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "192.168.0.7"},
        {"Host": "localhost.:1"},
        {"Host": "[::ffff:10.0.0.1]"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/reset"), ("GET", "/state"), ("GET", "/events")])
async def test_a_page_from_elsewhere_may_do_nothing(
    control: Control, headers: dict[str, str], method: str, path: str
) -> None:
    await control.land({"id": 1})
    status, error = await control.refusal(method, path, headers=headers)

    assert status == 403
    assert error.startswith("this is for ")
    assert control.sandbox.panoply.tables() == {"t": 1}


async def test_a_page_under_another_name_is_not_even_shown(control: Control) -> None:
    for path in ("/", "/_sandbox/", "/_sandbox/page/page.js"):
        headers = {"Host": "evil.example", "Accept": "text/html"}
        async with control.http.get(path, headers=headers) as answer:
            assert answer.status == 403


async def test_the_sandboxs_own_page_and_a_link_to_it_are_fine(control: Control) -> None:
    port = control.sandbox.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "localhost"):
        own = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert (await control.ask("POST", "/reset", headers=own))[0] == 204
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    async with control.http.get("/", headers=linked) as answer:
        assert answer.status == 200


async def test_only_this_machine_may() -> None:
    async with Sandbox(PanoplyWorld()) as sandbox:
        desk = sandbox._server._desk
        assert desk is not None
        for peer, status in {"192.0.2.7": 403, "": 403, "127.0.0.1": 200, "::1": 200, "::ffff:127.0.0.1": 200}.items():
            call = Call("_sandbox", "GET", "/_sandbox/clock", headers={"Host": "localhost"}, peer=peer)
            assert (await desk.answer(call)).status == status


# -- pages and the document --------------------------------------------------------------------------------------------


async def test_a_client_of_a_platform_still_meets_the_platform_at_the_root(control: Control) -> None:
    async with control.http.get("/") as answer:
        assert (answer.status, "<ErrorResponse" in await answer.text()) == (405, True)
    async with control.http.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")


@pytest.mark.parametrize("path", ["/", "/_sandbox/", "/_sandbox", "/_sandbox/page/page.js", "/_sandbox/state"])
async def test_every_answer_forbids_what_a_page_does_not_need(control: Control, path: str) -> None:
    async with control.http.get(path, headers={"Accept": "text/html"}) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.status == 200
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_document_has_every_call_and_each_answers_as_it_says(control: Control) -> None:
    _, document = await control.ask("GET", "/openapi.json")
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert document["openapi"] == "3.1.0"
    assert told == {(one.method, BASE + one.path) for one in OPERATIONS}

    bodies: dict[str, dict[str, Any]] = {
        "add_fault": {"kind": "drop_before", "match": "/x"},
        "sql": {"statement": "select 1"},
    }
    bodies |= {"add_stream_fault": {"kind": "kill"}, "move_clock": {"seconds": 1}}
    for operation in OPERATIONS:
        if operation.name == "events" or "{number}" in operation.path:
            continue
        body = bodies.get(operation.name)
        status, said = await control.ask(operation.method, operation.path, body)
        assert status == operation.status, operation.name
        assert operation.answer is None or not operation.answer or set(said) == set(operation.answer), operation.name


async def test_the_page_of_the_calls_names_them_all(control: Control) -> None:
    async with control.http.get("/_sandbox/") as answer:
        text = await answer.text()
    assert re.findall(r'<h2 id="(\w+)">', text) == [operation.name for operation in OPERATIONS]
