"""The doctor finds what is wrong, says what to do about it, and tells no secret."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority
from loopback import Server
from proxy import Proxy

from asyncconn import Hub, Panoply
from asyncconn.cli.doctor import files, machine
from asyncconn.cli.doctor.asking import Asking
from asyncconn.cli.doctor.command import examined
from asyncconn.cli.doctor.network import surroundings
from asyncconn.cli.doctor.platforms import look
from asyncconn.cli.doctor.variables import readable, settings, wanted
from asyncconn.core.clock import SystemClock
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox
from cli.commands import arun, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from asyncconn.cli.doctor.check import Check

KEY, SECRET = "ASYNCCONN_PANOPLY_API_KEY", "ASYNCCONN_PANOPLY_API_SECRET"
TOKEN, URL = "ASYNCCONN_DATORAMA_TOKEN", "ASYNCCONN_DATORAMA_BASE_URL"


@pytest.fixture
def credentials() -> dict[str, str]:
    """Right in shape."""
    there = Sandbox(seed=7).panoply
    return {KEY: there.api_key, SECRET: there.api_secret}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(("ASYNCCONN_", "ATOTI_", "NO_PROXY")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


async def asked(*, connect: bool = True, **clock: Any) -> dict[str, Check]:
    """What settings, network and the platforms that are set say."""
    names, _ = readable()
    roads, said = surroundings()
    if roads is None:
        return by_name(said)
    async with Hub(**clock) as hub:
        return by_name(said + [check async for check in look(Asking(names, hub, roads if connect else None))])


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox() as made:
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        yield made


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_working_machine_without_settings_is_well(tmp_path: Path) -> None:
    found = run(tmp_path, "doctor")
    assert found.status == 0, found.text
    assert found.out.count("a record landed in the sandbox as it was sent") == 1
    assert "warn  platforms: set what yours needs; without an account: asyncconn sandbox --env-file .env" in found.out
    assert "Everything needed is here and works.\nNo platform was asked: --connect" in found.out
    assert "\x1b" not in found.text
    assert all(len(line) <= 80 for line in found.out.strip().split("\n\n")[0].splitlines())


def test_findings_are_written_as_rows(tmp_path: Path) -> None:
    found = run(tmp_path, "doctor", "--format", "jsonl")
    checks = {one["what"]: one for one in map(json.loads, found.out.splitlines())}
    assert found.status == 0
    assert checks["form sender"]["state"] == "ok"
    assert checks["Panoply"] == {
        "state": "off", "what": "Panoply", "found": f"not set; it needs {KEY} and {SECRET}", "advice": ""
    }  # fmt: skip


async def test_settings_are_named_and_no_credential_is_shown(tmp_path: Path, credentials: dict[str, str]) -> None:
    (tmp_path / ".env").write_text("ASYNCCONN_PANOPLY_APIKEY=misspelt-value\n")
    env = {**credentials, "ASYNCCONN_SOURCE_USER": "read by sources", "ASYNCCONN_TCUP_SOS_PATH": "/moved"}
    found = await arun(tmp_path, "doctor", env=env)
    assert found.status == 1, found.text  # of TCUP there is a path and no address
    assert "fail  TCUP settings: set ASYNCCONN_TCUP_URL and ASYNCCONN_TCUP_API_KEY" in found.out
    assert "ASYNCCONN_SOURCE_USER" not in found.out
    assert "ASYNCCONN_TCUP_SOS_PATH" in found.out
    assert "right in shape, for region us-east-1" in " ".join(found.out.split())
    assert f"warn  setting ASYNCCONN_PANOPLY_APIKEY: is {KEY} meant?" in found.out
    assert not [value for value in (*credentials.values(), "misspelt-value", "/moved") if value in found.text]


@pytest.mark.parametrize(
    ("wrong", "name", "said"),
    [
        ({SECRET: "not-base64-at-all"}, "Panoply credentials", "the Panoply secret does not decode"),
        ({SECRET: ""}, "Panoply credentials", "secret"),
        ({"ASYNCCONN_SHUTDOWN_TIMEOUT": "soonish"}, "hub settings", "do not fit: ASYNCCONN_SHUTDOWN_TIMEOUT"),
        ({"ASYNCCONN_PROXY": "gopher://me:hidden@x"}, "hub settings", "the proxy must be http(s)://"),
        ({"ASYNCCONN_CA_FILE": "none.pem"}, "hub settings", "the CA file none.pem cannot be used"),
        ({TOKEN: ""}, "Datorama settings", "Datorama needs a token"),
        ({TOKEN: "t0ken", "ASYNCCONN_DATORAMA_REGION": "moon"}, "Datorama settings", "region"),
        ({"ASYNCCONN_ATOTI_LIMITS_USER": "admin"}, "Atoti settings", "belong together"),
        ({"ASYNCCONN_TCUP_TIMEOUT": "soonish"}, "TCUP settings", "ASYNCCONN_TCUP_TIMEOUT"),
    ],
)  # fmt: skip
async def test_what_cannot_work_fails(
    monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str], wrong: dict[str, str], name: str, said: str
) -> None:
    for variable, value in {**credentials, **wrong}.items():
        monkeypatch.setenv(variable, value)
    check = (await asked(connect=False))[name]
    assert check.state == "fail"
    assert said in check.found
    assert check.advice
    assert not [value for value in ("soonish", "hidden", "not-base64-at-all", "t0ken") if value in check.found]


async def test_all_that_cannot_work_is_told_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "ASYNCCONN_MAX_CONNECTIONS": "many", "ASYNCCONN_CA_FILE": "none.pem", "ASYNCCONN_CLIENT_CERT": "gone.pem",
        "ASYNCCONN_PROXY": "gopher://me:hidden@x", TOKEN: "",
    }  # fmt: skip
    for variable, value in wrong.items():
        monkeypatch.setenv(variable, value)
    told = [check.found for check in await examined(connect=True) if check.state == "fail"]
    assert len(told) == len(wrong)
    for words in ("ASYNCCONN_MAX_CONNECTIONS", "none.pem", "gone.pem", "the proxy must be", "Datorama needs a token"):
        assert sum(words in one for one in told) == 1, words
    assert "hidden" not in "".join(told)


async def test_the_sender_that_is_set_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_PANOPLY_SENDER", "sqs")
    found = by_name(await examined(connect=False))
    assert (found["form sender"].state, found["sqs sender"].state) == ("ok", "ok")


def test_a_file_of_settings_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ASYNCCONN_PROXY=\xff\xfe\n")
    found = run(tmp_path, "doctor")
    assert found.status == 1
    assert "the file .env with settings is not UTF-8" in found.out


def test_a_record_that_does_not_get_through_fails(tmp_path: Path) -> None:
    patch = """
from asyncconn.panoply.senders import FormSender
async def send(self, items):
    raise OSError("no road")
FormSender.send = send
"""
    found = run(tmp_path, "doctor", patch=patch)
    assert found.status == 1
    assert "no road" in found.out
    assert " checks failed.\n" in found.out
    assert "1 of " in found.out


# -- settings and libraries --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ASYNCCONN_DATORAMA_TOKENS", f"is {TOKEN} meant?"),
        ("ASYNCCONN_TCUP_MQTT_PASWORD", "is ASYNCCONN_TCUP_MQTT_PASSWORD meant?"),
        ("ASYNCCONN_REDIS_URI", "is ASYNCCONN_REDIS_URL meant?"),
        ("ASYNCCONN_ATOTI_LIMITS_SESSION_URL", "remove it: there is no such setting"),
        ("ATOTI_LIMIT_URL", "is ATOTI_LIMITS_URL meant?"),
        ("asyncconn_proxy", "ASYNCCONN_PROXY is read in capitals only"),
        ("ASYNCCONN_WHATEVER", "remove it: there is no such setting"),
    ],
)
def test_a_setting_that_nothing_reads_is_told_with_the_one_that_was_meant(name: str, advice: str) -> None:
    check = by_name(list(settings(frozenset({name}))))[f"setting {name}"]
    assert (check.state, check.advice) == ("warn", advice)


def test_settings_of_others_and_those_that_are_read_are_left_alone() -> None:
    names = frozenset({TOKEN, "asyncconn_datorama_region", "ATOTI_LICENSE", "ASYNCCONN_SOURCE_USER", "PATH", "HOME"})
    [check] = settings(names)
    assert check.found == f"{TOKEN}, asyncconn_datorama_region"


def test_a_library_is_needed_where_a_setting_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name in ("redis", "aiobotocore"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "pandas" else version(name)

    monkeypatch.setattr(metadata, "version", without)
    monkeypatch.setenv("ASYNCCONN_REDIS_URL", "redis://localhost")
    monkeypatch.setenv("ASYNCCONN_PANOPLY_SENDER", "form")
    found = by_name(list(machine.installed(wanted(readable()[0]))))
    assert (found["redis"].state, found["redis"].advice) == ("fail", "pip install 'asyncconn[redis]'")
    assert found["redis"].found == "not installed, and ASYNCCONN_REDIS_URL needs it"
    assert (found["aiobotocore"].state, found["pandas"].state) == ("off", "off")
    assert found["aiobotocore"].found == "not installed; only if you use it: pip install 'asyncconn[sqs]'"
    assert "too old: 2.2.1 or newer is needed" in found["pandas"].found
    assert found["aiohttp"].state == "ok"


# -- the platforms -----------------------------------------------------------------------------------------------------


async def test_all_platforms_of_a_sandbox_answer(sandbox: Sandbox) -> None:
    found = await asked()
    states = {name: check.state for name, check in found.items() if check.state != "ok"}
    assert states == {"Atoti known to Limits": "warn", "Atoti connected": "warn"}  # nobody has connected them
    assert found["Atoti connected"].advice == "asyncconn limits connect --wait"
    assert "20,000 calls left today" in found["Datorama token 1"].found
    for name in ("Panoply connection", "Datorama clock", "TCUP key", "TCUP WebSocket", "TCUP broker", "Atoti cubes"):
        assert found[name].state == "ok", name


@pytest.mark.parametrize(
    ("variable", "name", "advice"),
    [
        (TOKEN, "Datorama token 1", "check the credential"),
        ("ASYNCCONN_TCUP_API_KEY", "TCUP key", "use another credential"),
        ("ASYNCCONN_TCUP_MQTT_PASSWORD", "TCUP broker", "check the credential"),
        ("ASYNCCONN_ATOTI_LIMITS_PASSWORD", "Atoti credential", "check ASYNCCONN_ATOTI_LIMITS_USER and"),
    ],
)
async def test_a_credential_that_is_refused_fails(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, advice: str
) -> None:
    monkeypatch.setenv(variable, "another-one-4711")
    check = (found := await asked())[name]
    assert check.state == "fail"
    assert advice in check.advice
    assert "4711" not in "".join(one.found + one.advice for one in found.values())


async def test_what_follows_from_a_refused_credential_is_not_asked(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCONN_ATOTI_LIMITS_PASSWORD", "another-one-4711")
    found = await asked()
    states = {name: check.state for name, check in found.items() if name.startswith("Atoti ")}
    assert [name for name, state in states.items() if state == "fail"] == ["Atoti credential"]
    assert [name for name, state in states.items() if state == "off"] == [
        "Atoti cubes", "Atoti known to Limits", "Atoti connected"
    ]  # fmt: skip


async def test_nothing_is_asked_of_a_platform_that_is_not_there(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(lambda *_: asyncio.sleep(0)) as gone:
        pass
    for name in (URL, "ASYNCCONN_TCUP_URL", "ATOTI_BASE_URL", "ASYNCCONN_PANOPLY_ENDPOINT_URL"):
        monkeypatch.setenv(name, gone.url)
    monkeypatch.setenv("ASYNCCONN_TCUP_MQTT_PORT", str(gone.port))
    found = await asked()
    for name in ("Panoply connection", "Datorama connection", "Atoti session connection", "TCUP connection"):
        assert (found[name].state, "TCP: no connection to" in found[name].found) == ("fail", True)
        assert found[name].advice == "is it running, and does a firewall or a proxy stand between?"
    assert found["TCUP broker"].state == "fail"
    assert found["TCUP broker"].advice.endswith("ASYNCCONN_TCUP_MQTT_HOST and ASYNCCONN_TCUP_MQTT_PORT")
    assert found["Atoti cubes"].state == "off"
    assert not {"Datorama token 1", "TCUP key", "TCUP WebSocket"} & found.keys()


async def test_a_port_at_which_no_broker_listens_is_told_by_its_variable(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCONN_TCUP_MQTT_PORT", sandbox.url.rpartition(":")[2])
    check = (await asked())["TCUP broker"]
    assert check.state == "fail"
    assert "ASYNCCONN_TCUP_MQTT_PORT" in check.advice


async def test_a_quota_that_is_nearly_used_up_and_a_clock_that_is_wrong_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Behind(SystemClock):
        def utcnow(self) -> datetime:
            return super().utcnow() - timedelta(seconds=90)

    async with Sandbox(DatoramaWorld(per_day=100)) as made:
        for name, value in made.env.items():
            monkeypatch.setenv(name, value)
        found = await asked(clock=Behind())
    assert found["Datorama token 1"].state == "warn"
    assert "99 of 20,000 calls left today" in found["Datorama token 1"].found
    assert found["Datorama clock"].state == "warn"
    assert found["Datorama clock"].found.startswith(("90 s ahead of", "89 s ahead of"))
    assert "NTP" in found["Datorama clock"].advice


async def test_the_platforms_are_asked_by_connect_only(tmp_path: Path, sandbox: Sandbox) -> None:
    before = sandbox.panoply.counters.requests, sandbox.datorama.counters.requests
    quiet = by_name(await examined(connect=False))
    assert (sandbox.panoply.counters.requests, sandbox.datorama.counters.requests) == before
    assert "Datorama connection" not in quiet
    assert "Datorama connection" in by_name(await examined(connect=True))


async def test_a_platform_that_answers_with_an_error_is_told_with_its_words(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", status=503, times=2))
    found = await asked()
    assert found["Datorama token 1"].state == "fail"
    assert found["Datorama token 1"].advice == "try again later"


# -- the way there -----------------------------------------------------------------------------------------------------


async def reached(address: str) -> Check:
    roads, _ = surroundings()
    assert roads is not None
    return await roads.reach("it", address, "ITS_URL")


async def _met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.read() == b""


async def test_a_name_that_is_unknown_is_dns() -> None:
    check = await reached("https://no-such-host.invalid")
    assert check.state == "fail"
    assert check.found.startswith("DNS: no connection to no-such-host.invalid:443")


@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1", "http://"])
async def test_an_address_that_is_none_is_told_with_its_variable(address: str) -> None:
    check = await reached(address)
    assert (check.state, check.found) == ("fail", "not an address")
    assert "correct ITS_URL" in check.advice


async def test_tls_is_told_with_the_authority_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    async with Server(_met, ssl=authority.server(days=40)) as server:
        distrusted = await reached(server.url)
        monkeypatch.setenv("ASYNCCONN_CA_FILE", str(authority.ca))
        trusted = await reached(server.url)
        plain = await reached(server.url.replace("https", "http"))
    assert distrusted.found.startswith("TLS: no connection to 127.0.0.1:")
    assert "its certificate is not trusted" in distrusted.found
    assert "ASYNCCONN_CA_FILE" in distrusted.advice
    assert (trusted.state, "TLSv1.3, certificate trusted" in trusted.found) == ("ok", True)
    assert plain.state == "ok"  # who speaks TLS there does not show before something is sent


async def test_a_certificate_that_ends_soon_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("ASYNCCONN_CA_FILE", str(authority.ca))
    async with Server(_met, ssl=authority.server(days=2)) as server:
        check = await reached(server.url)
    assert (check.state, check.advice) == ("warn", "have it renewed")


async def test_what_speaks_no_tls_is_told() -> None:
    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with Server(speaks) as server:
        check = await reached(server.url.replace("http", "https"))
    assert check.found.startswith("TLS: ")
    assert "http://" in check.advice


@pytest.mark.parametrize(
    ("says", "found", "advice"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "proxy: 127.0.0.1 answered 407 to CONNECT", "check user and password in its URL"),
        (b"HTTP/1.1 403 No\r\n\r\n", "proxy: 127.0.0.1 answered 403 to CONNECT", "check whether it lets 127.0.0.1"),
        (b"", "proxy: 127.0.0.1 answered no HTTP to CONNECT", "ASYNCCONN_NO_PROXY"),
    ],
)
async def test_a_proxy_that_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, says: bytes, found: str, advice: str
) -> None:
    async with Proxy(says) as proxy:
        monkeypatch.setenv("ASYNCCONN_PROXY", proxy.url.replace("//", "//me:hidden@"))
        check = await reached("https://127.0.0.1:1")
    assert check.state == "fail"
    assert check.found.startswith(found)
    assert advice in check.advice
    assert "hidden" not in check.found + check.advice


async def test_the_way_through_a_proxy_is_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("ASYNCCONN_CA_FILE", str(authority.ca))
    async with Server(_met, ssl=authority.server(days=40)) as server, Proxy() as proxy:
        monkeypatch.setenv("ASYNCCONN_PROXY", proxy.url)
        check = await reached(server.url)
        _, said = surroundings()
    assert (check.state, check.found.startswith(f"by the proxy 127.0.0.1:{proxy.port}, TLSv1.3")) == ("ok", True)
    assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    assert by_name(said)["proxy"].found == f"127.0.0.1:{proxy.port} for http, 127.0.0.1:{proxy.port} for https"
    gone = await reached(server.url)
    assert gone.found.startswith(f"TCP: no connection to the proxy 127.0.0.1:{proxy.port}")
    assert gone.advice.startswith("is it running? Check its address (ASYNCCONN_PROXY or ")


# -- files -------------------------------------------------------------------------------------------------------------


async def _spool(path: Path) -> Check:
    return await files.spool("spool", path, "SPOOL")


async def test_a_spool_is_told_with_what_waits_in_it_and_who_has_it(
    tmp_path: Path, credentials: dict[str, str]
) -> None:
    path = tmp_path / "events.spool"
    new = await _spool(path)
    assert (new.state, new.found) == ("ok", "not there yet; its folder takes it")
    async with Sandbox(faults="status:503*999") as sandbox:
        there = sandbox.panoply
        panoply = Panoply(there.api_key, there.api_secret, endpoint_url=there.url, spool=path)
        await panoply.open()
        await panoply.write("events", {"id": 1})
        held = await _spool(path)
        await panoply.aclose(timeout=0.1)
    assert held.state == "ok"
    who = f"process {os.getpid()} (" if sys.platform == "linux" else "another program"
    assert f"in use by {who}" in held.found
    waiting = await _spool(path)
    assert (waiting.state, "1 record (" in waiting.found) == ("warn", True)
    assert "asyncconn panoply spool" in waiting.advice


async def test_files_that_cannot_be_are_told(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.db"
    database = sqlite3.connect(stranger)
    database.execute("create table theirs (id)")
    database.close()
    (sheet := tmp_path / "rows.csv").write_text("id,name\n1,Amble\n")
    damaged = tmp_path / "quota.json"
    damaged.write_text('{"key": 1}')
    found = [
        await _spool(tmp_path),
        await _spool(tmp_path / "none" / "events.spool"),
        await _spool(stranger),
        await _spool(sheet),
        await files.quota_file("quota", damaged, "QUOTA"),
    ]
    assert [check.state for check in found] == ["fail"] * 5
    assert [check.advice for check in found[:2]] == ["name a file in SPOOL", "make the folder, or correct SPOOL"]
    assert "a database of something else" in found[2].found
    assert (found[3].found, found[3].advice) == (
        f"{sheet} is no spool: name another file, or move this one away", "correct the setting"
    )  # fmt: skip
    assert "delete it to start from zero" in found[4].found


async def test_a_quota_file_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    await FileQuotaStore(path).add("key", "2030-01-01", 3)
    before = path.read_bytes()
    check = await files.quota_file("quota", path, "QUOTA")
    assert (check.state, check.found) == ("ok", f"{len(before)} bytes, counts of 1 credential")
    assert path.read_bytes() == before
