"""Renewing a token for plain methods: in the source's thread, in a script, and on a loop's own thread."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from helpers import until
from loopback import DROP, Loopback, Reply, saying

from asyncconn import Hub
from asyncconn.errors import BadRequest, LifecycleError
from asyncconn.panoply import TokenCallbackException, TokenValidationException
from asyncconn.panoply.sources import oauth
from asyncconn.panoply.sources.driver import SourceDriver

from .token_scene import OLD, OLD_REFRESH, REFRESH, Refused, Scene, elsewhere, form, granting

if TYPE_CHECKING:
    from blockbuster import BlockBuster


# -- in the source's own thread ----------------------------------------------------------------------------------------


async def test_a_plain_read_renews_over_the_session_of_its_hub(scene: Scene) -> None:
    async with Loopback(otherwise=granting(refresh_token="rotated-0002")) as server, Hub() as hub:
        driver = SourceDriver(scene.source(server.url, blocking=True, callback="keep"), hub=hub)
        assert await driver.read(None) == [{"what": "page"}]
        scene.valid = "new-access-2"
        assert await driver.read(None) == [{"what": "page"}]
        driver.release()

        assert (len(server.seen), server.connections, server.open) == (2, 1, 1)
    assert form(server.seen[0]) == [*REFRESH.items(), ("refresh_token", OLD_REFRESH)]
    assert scene.changes == [
        {"access_token": "new-access-1", "refresh_token": "rotated-0002"},
        {"access_token": "new-access-2"},
    ]
    assert driver.source.told == ["new-access-1", "new-access-2"]


async def test_handlers_and_a_plain_callback_are_called_in_the_source_s_thread_an_async_one_on_the_loop(
    scene: Scene,
) -> None:
    here, seen = threading.current_thread(), dict[str, threading.Thread]()

    def plain(token: str) -> None:
        seen["plain"] = threading.current_thread()

    async def later(token: str) -> None:
        seen["async"] = threading.current_thread()

    async with Loopback(otherwise=saying({"access_token": "new-access-1"})) as server, Hub() as hub:
        for callback in (plain, later):
            source = scene.source(server.url, blocking=True, callback=callback)
            source.on("source-change", lambda data: seen.setdefault("event", threading.current_thread()))
            driver = SourceDriver(source, hub=hub)
            await driver.read(None)
            driver.release()

    assert seen["async"] is here
    assert seen["plain"].name.startswith("asyncconn-source-")
    assert seen["event"].name.startswith("asyncconn-source-")


async def test_tasks_and_threads_that_failed_with_one_token_share_one_renewal(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server, Hub() as hub:
        source = scene.source(server.url)
        driver = SourceDriver(source, hub=hub)
        with ThreadPoolExecutor(10) as pool:
            loop = asyncio.get_running_loop()
            threads = [loop.run_in_executor(pool, source.fetch, "x") for _ in range(10)]
            tasks = [source.request("x") for _ in range(10)]
            answers = await asyncio.gather(*threads, *tasks)
        driver.release()

    assert answers == [[{"what": "x"}]] * 20
    assert len(server.seen) == 1


async def test_a_thread_that_waited_too_long_is_let_go_and_the_token_is_kept_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_DEADLINE", 0.1)
    gate = asyncio.Event()
    reply = Reply(body=b'{"access_token": "new-access-1", "refresh_token": "rotated-0002"}', wait=gate.wait)
    async with Loopback(reply) as server, Hub() as hub:
        driver = SourceDriver(scene.source(server.url, blocking=True), hub=hub)
        with pytest.raises(TokenValidationException) as caught:
            await driver.read(None)
        assert scene.changes == []
        gate.set()
        await until(lambda: scene.changes)
        driver.release()

    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert scene.changes == [{"access_token": "new-access-1", "refresh_token": "rotated-0002"}]
    assert driver.source.source["refresh_token"] == "rotated-0002"


async def test_an_async_callback_that_hangs_does_not_hold_the_thread_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_DEADLINE", 0.2)

    async def hang(token: str) -> None:
        await asyncio.Event().wait()

    async with Loopback(otherwise=granting()) as server, Hub() as hub:
        driver = SourceDriver(scene.source(server.url, blocking=True, callback=hang), hub=hub)
        with pytest.raises(TokenCallbackException) as caught:
            await driver.read(None)
        driver.release()

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert driver.source.source["access_token"] == "new-access-1"


async def test_a_loop_inside_a_plain_read_does_without_the_hub(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server, Hub() as hub:
        source = scene.source(server.url, blocking=True)
        source.read = lambda n=None: asyncio.run(source.request("inside"))
        driver = SourceDriver(source, hub=hub)

        assert await driver.read(None) == [{"what": "inside"}]
        driver.release()
    assert len(server.seen) == 1


# -- in a script -------------------------------------------------------------------------------------------------------


def test_a_script_may_call_the_method_by_itself(scene: Scene) -> None:
    with elsewhere(otherwise=granting()) as server:
        source = scene.source(server.url, callback="keep_later")

        assert source.fetch("form", times=2) == [{"what": "form"}] * 2
    assert source.told == ["new-access-1"]
    assert scene.changes == [{"access_token": "new-access-1"}]
    assert len(server.seen) == 1


def test_twenty_threads_share_one_renewal(scene: Scene) -> None:
    start = threading.Barrier(20)
    with elsewhere(otherwise=granting()) as server:
        source = scene.source(server.url, callback="keep")

        def work() -> Any:
            start.wait(5.0)
            return source.fetch("x")

        with ThreadPoolExecutor(20) as pool:
            futures = [pool.submit(work) for _ in range(20)]

        assert [future.result() for future in futures] == [[{"what": "x"}]] * 20
    assert len(server.seen) == 1
    assert source.told == ["new-access-1"]


def test_a_thread_that_waits_for_another_s_renewal_does_not_wait_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "_DEADLINE", -4.9)
    source = scene.source("http://127.0.0.1:1")
    stuck = oauth._Flight(OLD)
    source._token_flights = {("http://127.0.0.1:1", "access_token"): stuck}
    with pytest.raises(TokenValidationException) as caught:
        source.fetch("x")

    assert caught.value.retryable


def test_a_script_s_renewal_that_hangs_is_cancelled_and_leaves_nothing_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(oauth, "_DEADLINE", 0.1)
    with elsewhere(otherwise=Reply(after=10.0)) as server:
        source = scene.source(server.url)
        with pytest.raises(TokenValidationException) as caught:
            source.fetch("x")

    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, TimeoutError)
    gc.collect()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("replies", "requests", "retryable"),
    [([Reply(400)], 1, False), ([Reply(503)] * 3, 3, True), ([DROP] * 3, 3, True), ([Reply(body=b"<p>")], 1, False)],
    ids=["400", "503", "drop", "html"],
)
def test_a_failure_is_told_as_to_a_task(scene: Scene, replies: list[Reply], requests: int, retryable: bool) -> None:
    with elsewhere(*replies, otherwise=granting()) as server:
        source = scene.source(server.url)
        with pytest.raises(TokenValidationException) as caught:
            source.fetch("x")

    assert caught.value.retryable is retryable
    assert caught.value.__cause__ is caught.value.original_error
    assert len(server.seen) == requests
    assert source.source["access_token"] == OLD


def test_the_error_of_the_second_call_and_that_of_a_callback_are_told_as_to_a_task(scene: Scene) -> None:
    def fail(token: str) -> None:
        raise KeyError("no client")

    scene.valid = "never"
    with elsewhere(otherwise=granting()) as server:
        with pytest.raises(Refused, match="call 2") as refused:
            scene.source(server.url).fetch("x")
        with pytest.raises(TokenCallbackException, match="no client") as caught:
            scene.source(server.url, callback=fail).fetch("x")

    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_missing_callback_method_is_found_before_anything_is_sent(scene: Scene) -> None:
    with (
        elsewhere(otherwise=granting()) as server,
        pytest.raises(TokenValidationException, match="no method missing"),
    ):
        scene.source(server.url, callback="missing").fetch("x")
    assert server.seen == []


# -- on a loop's own thread --------------------------------------------------------------------------------------------


@pytest.fixture
def _may_block(blocking: BlockBuster) -> None:
    """A plain method called on a loop blocks it: that is what its author chose."""
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
        if name in blocking.functions:
            blocking.functions[name].can_block_in("asyncconn/panoply/sources/oauth.py", {"_lead_blocking", "_loop_for"})


@pytest.mark.usefixtures("_may_block")
def test_a_plain_method_on_a_loop_renews_in_another_thread_with_and_without_a_hub(scene: Scene) -> None:
    async def main(url: str) -> None:
        assert scene.source(url).fetch("x") == [{"what": "x"}]
        async with Hub() as hub:
            source = scene.source(url)
            driver = SourceDriver(source, hub=hub)
            assert source.fetch("x") == [{"what": "x"}]
            driver.release()

    with elsewhere(otherwise=saying({"access_token": "new-access-1"})) as server:
        asyncio.run(main(server.url))
    assert len(server.seen) == 2


async def test_a_plain_method_on_a_loop_does_not_wait_for_a_renewal_that_needs_this_loop(scene: Scene) -> None:
    gate = asyncio.Event()
    async with Loopback(Reply(body=b'{"access_token": "new-access-1"}', wait=gate.wait)) as server:
        source = scene.source(server.url)
        leader = asyncio.create_task(source.request("x"))
        await server.arrived()
        with pytest.raises(TokenValidationException, match="event loop") as caught:
            source.fetch("x")
        gate.set()

        assert await leader == [{"what": "x"}]
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, LifecycleError)


def test_a_refusal_carries_the_status(scene: Scene) -> None:
    with (
        elsewhere(otherwise=saying({"error": "invalid_grant"}, 400)) as server,
        pytest.raises(TokenValidationException, match=r"answered 400 \[invalid_grant\] Bad Request") as caught,
    ):
        scene.source(server.url).fetch("x")
    cause = caught.value.__cause__
    assert isinstance(cause, BadRequest)
    assert (cause.code, cause.body) == ("invalid_grant", "")
