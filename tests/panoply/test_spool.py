"""Panoply's writer with a spool: opened, refused, drained, and the same to its users otherwise."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import asyncconn
from asyncconn import Hub, Panoply
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import (
    BufferClosed,
    ConfigError,
    DeliveryFailed,
    HubClosed,
    HubNotOpen,
    InvalidRecord,
    LifecycleError,
    RecordTooLarge,
    SpoolError,
    SpoolFull,
    SpoolInUse,
)
from asyncconn.panoply.encoding import encode_record
from asyncconn.sandbox import Fault, Sandbox

from .scene import QUICK, SandboxTarget
from .writer_tests import SLOW, landed, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panoply.spool"


def owner_of(target: SandboxTarget) -> str:
    account = target.credentials[0].partition("/")[0]
    return hashlib.sha256(account.encode()).hexdigest()[:16]


async def leave(target: SandboxTarget, path: Path, count: int) -> None:
    """Records as a killed program leaves them."""
    spool = Spool(path, fsync=False)
    await spool.open(owner_of(target))
    await spool.append([encode_record("t", {"id": number}) for number in range(count)])
    await spool.aclose()


async def held(path: Path) -> int:
    spool = Spool(path)
    await spool.open()
    await spool.aclose()
    return spool.stats.records


async def test_records_are_in_the_file_until_they_have_arrived(target: SandboxTarget, path: Path) -> None:
    panoply = target.panoply(policy=SLOW, spool=path)
    assert isinstance(panoply.spool, Spool)
    receipt = await panoply.write("t", {"id": 1})
    report = await panoply.write_many("t", ({"id": n} for n in range(2, 5000)))
    assert report.records == 4998
    assert receipt in report.receipts
    assert panoply.spool.stats.records == panoply.stats.accepted == 4999
    assert (await panoply.flush()).complete
    assert panoply.spool.stats.records == 0
    assert [record["id"] for record in await landed(target)] == list(range(1, 5000))
    settled(panoply)


async def test_without_a_spool_there_is_none(target: SandboxTarget) -> None:
    assert target.panoply().spool is None


async def test_write_many_stores_many_records_at_a_time(target: SandboxTarget, path: Path) -> None:
    panoply = target.panoply(policy=SLOW, spool=path)
    await panoply.write_many("t", [{"id": n, "text": "x" * 90} for n in range(5000)])
    assert panoply.spool is not None
    assert panoply.spool.stats.commits <= 6


async def test_write_many_from_an_async_iterable_and_in_the_middle_of_an_error(
    target: SandboxTarget, path: Path
) -> None:
    panoply = target.panoply(policy=SLOW, spool=path)

    async def records() -> AsyncIterator[dict[str, Any]]:
        for number in range(5):
            yield {"id": number}

    assert (await panoply.write_many("t", records())).records == 5
    with pytest.raises(InvalidRecord) as caught:
        await panoply.write_many("t", [*[{"id": n} for n in range(100, 200)], {"id": 1j}, {"id": 300}])
    assert caught.value.index == 100
    with pytest.raises(RecordTooLarge) as large:
        await panoply.write_many("t", [{"id": 400}, {"id": 401, "x": "x" * 300_000}, {"id": 402}])
    assert large.value.index == 1

    def broken() -> Any:
        yield {"id": 500}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await panoply.write_many("t", broken())
    await panoply.flush()
    assert [record["id"] for record in await landed(target)] == [*range(5), *range(100, 200), 400, 500]


async def test_write_nowait_says_why_it_cannot(target: SandboxTarget, path: Path) -> None:
    with pytest.raises(LifecycleError, match="await write"):
        target.panoply(spool=path).write_nowait("t", {"id": 1})


@pytest.mark.parametrize("how", ["block", "first write", "only the end"])
async def test_what_an_earlier_program_left_is_sent_first(sandbox: Sandbox, sender: str, path: Path, how: str) -> None:
    async with Hub() as hub:
        target = SandboxTarget(sandbox, hub, sender)
        await leave(target, path, 50)
        panoply = target.panoply(policy=BatchPolicy(max_items=20, max_age=60.0, max_in_flight=1), spool=path)
        if how == "block":
            async with panoply:
                await panoply.write("t", {"id": 50})
        elif how == "first write":
            await panoply.write("t", {"id": 50})
    assert [record["id"] for record in await landed(target)] == list(range(50 if how == "only the end" else 51))
    assert hub.report is not None
    assert hub.report.complete
    assert panoply.stats.delivered == len(await landed(target))
    assert await held(path) == 0


async def test_a_private_hub_opens_and_drains_it_too(sandbox: Sandbox, path: Path) -> None:
    async with Panoply(
        sandbox.panoply.api_key, sandbox.panoply.api_secret, endpoint_url=sandbox.url, spool=str(path)
    ) as panoply:
        await panoply.write("t", {"id": 1})
    assert sandbox.panoply.tables() == {"t": 1}
    assert await held(path) == 0
    with pytest.raises(HubClosed):
        await panoply.open()
    with pytest.raises(BufferClosed):
        await panoply._buffer.put(b"{}")


async def test_what_the_server_refuses_stays_and_says_so(sandbox: Sandbox, path: Path) -> None:
    sandbox.faults.add(Fault("status", status=400))
    async with Hub() as hub:
        target = SandboxTarget(sandbox, hub, "form")
        panoply = target.panoply(spool=path, retry=RetryPolicy(attempts=1))
        failures: list[DeliveryFailed] = []
        panoply.on("error", failures.append)
        await panoply.write("t", {"id": 1})
        report = await panoply.flush()
        assert (report.failed, report.pending, report.spooled) == (0, 1, 1)
    assert failures[0].spooled
    assert "do not write them again" in str(failures[0])
    assert hub.report is not None
    assert not hub.report.complete
    sandbox.faults.clear()
    async with Hub() as hub:
        await SandboxTarget(sandbox, hub, "form").panoply(spool=path).aclose()
    assert sandbox.panoply.tables() == {"t": 1}


async def test_sigterm_in_the_middle_leaves_nothing_behind_or_keeps_it(sandbox: Sandbox, path: Path) -> None:
    code = """
import asyncio, sys, asyncconn
async def main(hub):
    panoply = asyncconn.Panoply.from_env(hub=hub)
    number = 0
    while True:
        await panoply.write("t", {"id": number})
        number += 1
        print(number, flush=True)
asyncconn.run(main)
"""
    home = str(Path(asyncconn.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", code],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **sandbox.env, "PYTHONPATH": home, "ASYNCCONN_PANOPLY_SPOOL": str(path)},
    )
    assert process.stdout is not None
    written = [0]
    while written[-1] < 100:
        written.append(int(await process.stdout.readline()))
    process.send_signal(signal.SIGTERM)
    written += [int(line) async for line in process.stdout]
    assert await process.wait() == 143
    assert sandbox.panoply.tables()["t"] >= written[-1]
    assert await held(path) == 0


async def test_the_command_line_leaves_a_services_spool_alone(sandbox: Sandbox, path: Path) -> None:
    rows = path.with_name("rows.csv")
    rows.write_text("id\n1\n2\n")
    home = str(Path(asyncconn.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "asyncconn", "panoply", "write", str(rows), "--table", "t"],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **sandbox.env, "PYTHONPATH": home, "ASYNCCONN_PANOPLY_SPOOL": str(path)},
    )
    assert await process.wait() == 0
    assert sandbox.panoply.tables() == {"t": 2}
    assert not path.exists()


# -- refused -----------------------------------------------------------------------------------------------------------


async def test_a_second_writer_on_the_spool_is_refused_and_leaves_nothing_open(
    target: SandboxTarget, path: Path
) -> None:
    first = await target.panoply(spool=path).open()
    credentials = {"endpoint_url": target.sandbox.url, "retry": QUICK}
    with pytest.raises(SpoolInUse, match=str(path)):
        async with Panoply(*target.credentials, **credentials, spool=path):  # type: ignore[arg-type] # a plain dict
            pass
    shared = target.panoply(spool=first.spool)
    with pytest.raises(SpoolInUse, match="another writer"):
        await shared.write("t", {"id": 1})
    await first.write("t", {"id": 2})
    assert (await first.flush()).complete


async def test_another_accounts_spool_is_refused(target: SandboxTarget, path: Path) -> None:
    await leave(target, path, 1)
    key, secret = target.credentials
    stranger = target.panoply(spool=path, credentials=(f"stranger{key}", secret))
    with pytest.raises(ConfigError, match="another account"):
        await stranger.write("t", {"id": 1})
    same = target.panoply(spool=path, credentials=(f"{key.partition('/')[0]}/new4k3y", secret))
    await same.open()  # a new key of the same account is no stranger


async def test_a_spool_that_cannot_be_used_is_an_error_where_it_is_opened_and_where_it_is_written(
    target: SandboxTarget, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"no" * 4000)
    for where, kind in ((other, ConfigError), (tmp_path, SpoolError), (tmp_path / "no" / "file", SpoolError)):
        panoply = target.panoply(spool=where)
        for step in (panoply.open(), panoply.write("t", {"id": 1}), panoply.write_many("t", [{"id": 1}])):
            with pytest.raises(kind, match=str(where)):
                await step
        assert panoply.stats.accepted == 0


async def test_a_full_spool_is_an_error_of_the_write(target: SandboxTarget, path: Path) -> None:
    panoply = target.panoply(policy=SLOW, spool=Spool(path, max_bytes=200))
    await panoply.write("t", {"id": 1, "text": "x" * 100})
    with pytest.raises(SpoolFull, match="of 200"):
        await panoply.write("t", {"id": 2, "text": "x" * 100})
    await panoply.flush()
    await panoply.write("t", {"id": 3, "text": "x" * 100})
    await panoply.flush()
    assert target.rows() == {1, 3}


async def test_it_opens_only_on_an_open_hub(sandbox: Sandbox, path: Path) -> None:
    panoply = SandboxTarget(sandbox, Hub(), "form").panoply(spool=path)
    for step in (panoply.open(), panoply.write("t", {"id": 1})):
        with pytest.raises(HubNotOpen):
            await step
    assert not path.exists()


async def test_a_hub_that_was_closed_unused_leaves_the_spool_closed(sandbox: Sandbox, path: Path) -> None:
    panoply = Panoply(*SandboxTarget(sandbox, Hub(), "form").credentials, endpoint_url=sandbox.url, spool=path)
    await panoply.hub.aclose()
    with pytest.raises(HubClosed):
        await panoply.open()
    assert await held(path) == 0


def test_the_environment_may_name_it(monkeypatch: pytest.MonkeyPatch, sandbox_env: dict[str, str]) -> None:
    for name, value in sandbox_env.items():
        monkeypatch.setenv(name, value)
    assert Panoply.from_env(hub=Hub()).spool is None
    monkeypatch.setenv("ASYNCCONN_PANOPLY_SPOOL", "")
    assert Panoply.from_env(hub=Hub()).spool is None
    monkeypatch.setenv("ASYNCCONN_PANOPLY_SPOOL", "some/where.spool")
    found = Panoply.from_env(hub=Hub()).spool
    assert found is not None
    assert found.path == Path("some/where.spool")
    assert Panoply.from_env(hub=Hub(), spool=None).spool is None


@pytest.fixture
def sandbox_env() -> dict[str, str]:
    return {
        "ASYNCCONN_PANOPLY_API_KEY": "acme/k1r4nd",
        "ASYNCCONN_PANOPLY_API_SECRET": "cjRuZC91dWlkLzEyMzQ1Njc4OTAxMi91cy1lYXN0LTE=",
    }
