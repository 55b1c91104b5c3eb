"""Opening and closing: bounded, and nothing stays behind."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import re
import socket
import threading

import aiohttp
import pytest
from blockbuster import blockbuster_ctx
from helpers import open_sockets, until

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import Fault, PanoplyWorld, Sandbox, TcupWorld

from .conftest import FORM, RawClient, form


@pytest.mark.parametrize("kind", ["stall", "stall_after", "delay"])
async def test_leaving_ends_stalled_requests_at_once_and_leaves_nothing_behind(kind: str) -> None:
    loop = asyncio.get_running_loop()
    gc.collect()
    tasks, sockets, threads = asyncio.all_tasks(), open_sockets(), set(threading.enumerate())
    seconds = 3600.0 if kind == "delay" else None
    async with aiohttp.ClientSession() as session:
        async with Sandbox(faults=[Fault(kind, times=None, seconds=seconds)]) as sandbox:
            client = RawClient(sandbox, session)
            calls = [asyncio.create_task(client.send('{"__table": "t"}')) for _ in range(5)]
            while sandbox.faults.hits[kind] < 5:
                await asyncio.sleep(0.01)
            started = loop.time()
        assert loop.time() - started < 0.5
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {aiohttp.ServerDisconnectedError}
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert set(threading.enumerate()) == threads
    assert open_sockets() == sockets


async def test_leaving_closes_idle_keep_alive_connections() -> None:
    async with Sandbox() as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"</ErrorResponse>")
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_request_cut_off_in_its_middle_does_not_hold_the_door() -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await until(lambda: sandbox.arrivals)
        started = loop.time()
    assert loop.time() - started < 2
    writer.close()
    await writer.wait_closed()


async def test_nobody_waits_for_the_rest_of_a_body_whose_sender_has_gone() -> None:
    tasks = asyncio.all_tasks()
    async with Sandbox(TcupWorld(), faults="status:401") as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /dls/file HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nthe beginning")
        assert b" 401 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        await until(lambda: asyncio.all_tasks() > tasks)
    assert asyncio.all_tasks() == tasks


async def test_an_error_inside_leaves_nothing_behind() -> None:
    threads = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="mine"):
        async with Sandbox():
            raise RuntimeError("mine")
    assert set(threading.enumerate()) == threads


async def test_a_cancelled_user_leaves_nothing_behind() -> None:
    threads = set(threading.enumerate())
    opened = asyncio.Event()

    async def use() -> None:
        async with Sandbox():
            opened.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(use())
    await opened.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert set(threading.enumerate()) == threads


async def test_a_cancellation_while_closing_still_closes_everything() -> None:
    gc.collect()
    sockets, threads = open_sockets(), set(threading.enumerate())
    sandbox = Sandbox()
    await sandbox.__aenter__()
    host, port = sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await until(lambda: sandbox.arrivals)
    closing = asyncio.create_task(sandbox.__aexit__(None, None, None))
    await asyncio.sleep(0.05)  # it is waiting for the request that will never be complete
    closing.cancel()
    await asyncio.wait({closing}, timeout=5)
    assert closing.cancelled()
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("asyncconn")] == []
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    await writer.wait_closed()
    assert set(threading.enumerate()) == threads
    assert open_sockets() == sockets


async def test_a_client_that_vanishes_in_the_middle_of_its_request_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        host, port = sandbox.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await until(lambda: sandbox.arrivals)
        writer.close()
        await writer.wait_closed()
        assert (await RawClient(sandbox, session).send("x")).status == 200
        assert sandbox.panoply.counters.requests == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_body_that_is_not_what_its_encoding_says_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        client = RawClient(sandbox, session)
        headers = {**FORM, "Content-Encoding": "gzip"}
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post(b"this is not gzip", headers=headers)
        assert (await client.send("x")).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_loading_does_not_block_the_event_loop() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        with blockbuster_ctx():
            reply = await RawClient(sandbox, session).send('{"id": 1, "__table": "t"}\n' * 1000)
        assert (reply.status, sandbox.panoply.tables()) == (200, {"t": 1})


async def test_a_taken_port_is_a_config_error_and_leaves_nothing_behind() -> None:
    threads = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            async with Sandbox(port=port):
                pass
    assert set(threading.enumerate()) == threads


async def test_a_fixed_port_is_used_and_free_again_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        async with Sandbox(port=port) as sandbox:
            assert sandbox.url == f"http://127.0.0.1:{port}"


async def test_it_is_entered_once_and_says_when_it_is_not_open() -> None:
    sandbox = Sandbox()
    with pytest.raises(LifecycleError, match="not open"):
        _ = sandbox.url
    with pytest.raises(LifecycleError, match="not open"):
        _ = sandbox.env
    async with sandbox:
        pass
    with pytest.raises(LifecycleError, match="make a new one"):
        await sandbox.__aenter__()
    with pytest.raises(LifecycleError, match="not open"):
        _ = sandbox.panoply.queue_url


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
async def test_the_environment_leads_a_client_past_any_proxy(
    sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, "intranet.example, 10.0.0.0/8")

    assert sandbox.env[name] == "intranet.example, 10.0.0.0/8,127.0.0.1"
    monkeypatch.setenv(name, sandbox.env[name])
    assert sandbox.env[name] == "intranet.example, 10.0.0.0/8,127.0.0.1"


async def test_the_environment_leads_a_client_here(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert sandbox.env == {
        "ASYNCCONN_NO_PROXY": "127.0.0.1",
        "NO_PROXY": "127.0.0.1",
        "ASYNCCONN_DATORAMA_TOKEN": sandbox.datorama.token,
        "ASYNCCONN_DATORAMA_BASE_URL": sandbox.url,
        "ASYNCCONN_PANOPLY_API_KEY": sandbox.panoply.api_key,
        "ASYNCCONN_PANOPLY_API_SECRET": sandbox.panoply.api_secret,
        "ASYNCCONN_PANOPLY_ENDPOINT_URL": sandbox.url,
        "ASYNCCONN_TCUP_URL": sandbox.url,
        "ASYNCCONN_TCUP_API_KEY": sandbox.tcup.api_key,
        "ASYNCCONN_TCUP_MQTT_HOST": "127.0.0.1",
        "ASYNCCONN_TCUP_MQTT_PORT": str(sandbox.tcup.mqtt.port),
        "ASYNCCONN_TCUP_MQTT_TLS": "false",
        "ASYNCCONN_TCUP_MQTT_USERNAME": "user1@tcup:user1",
        "ASYNCCONN_TCUP_MQTT_PASSWORD": sandbox.tcup.tenant.mqtt_password,
        "ATOTI_BASE_URL": sandbox.atoti_limits.session.url,
        "ATOTI_LIMITS_URL": sandbox.atoti_limits.limits.url,
        "ASYNCCONN_ATOTI_LIMITS_USER": "admin",
        "ASYNCCONN_ATOTI_LIMITS_PASSWORD": "admin",
    }


def test_credentials_have_the_contracts_shape_and_follow_the_seed() -> None:
    one, two, other = Sandbox(seed=1).panoply, Sandbox(seed=1).panoply, Sandbox(seed=2).panoply
    assert (one.api_key, one.api_secret) == (two.api_key, two.api_secret)
    assert one.api_key != other.api_key
    account, _, rand1 = one.api_key.partition("/")
    rand2, uuid, aws, region = base64.b64decode(one.api_secret).decode().split("/")
    assert re.fullmatch(r"[a-z0-9-]+", account)
    assert re.fullmatch(r"[0-9a-z]{9,16}", rand1)
    assert re.fullmatch(r"[0-9a-z]{16}", rand2)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    assert re.fullmatch(r"[1-9][0-9]{11}", aws)
    assert region == "us-east-1"
    assert list(one._queues) == [f"/{aws}/sdk-{account}-{rand2}"]


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "a/b"},
        {"api_secret": "YS9iL2MvZA=="},
        {"account": "x", "api_key": "a/b", "api_secret": "YS9iL2MvZA=="},
        {"api_key": "a/b", "api_secret": "YS9i"},
        {"api_key": "a/b", "api_secret": "a"},
    ],
)
def test_an_account_that_cannot_be_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Sandbox().panoply.add_account(**given)


def test_a_queue_belongs_to_one_account() -> None:
    panoply = Sandbox().panoply
    panoply.add_account(api_key="a/b", api_secret="YS9iL2MvZA==")
    with pytest.raises(ConfigError, match="already"):
        panoply.add_account(api_key="a/c", api_secret="YS9iL2MvZA==")


async def test_no_repr_and_no_log_shows_a_secret(raw: RawClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    panoply = raw.sandbox.panoply
    account = panoply.add_account()
    raw.sandbox.faults.add(Fault("status", status=500))
    for _ in range(2):
        await raw.send('{"__table": "t", "password": "hunter2"}')
    await raw.post(form("x", {"key": panoply.api_key, "secret": "typo"}))
    shown = " ".join(
        [repr(raw.sandbox), repr(panoply), repr(account), repr(panoply.messages), repr(raw.sandbox.faults)]
    )
    logged = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("asyncconn"))
    assert "fault status strikes" in logged
    for secret in (
        panoply.api_key,
        panoply.api_secret,
        account.api_key,
        account.api_secret,
        "hunter2",
        "typo",
    ):
        assert secret not in shown
        assert secret not in logged


async def test_messages_are_kept_within_their_bound() -> None:
    async with Sandbox(PanoplyWorld(keep_messages=2), keep_arrivals=1) as sandbox, aiohttp.ClientSession() as session:
        for number in range(3):
            await RawClient(sandbox, session).send(str(number))
        assert [message.body for message in sandbox.panoply.messages] == ["1", "2"]
        assert len(sandbox.panoply.invalid) == 2
        assert len(sandbox.arrivals) == 1
        assert sandbox.panoply.counters.invalid_documents == 3
        message = sandbox.panoply.messages[0]
        assert message.received_at.utcoffset() is not None
        assert (message.protocol, message.records, message.invalid) == ("form", 0, 1)
