"""Before a server that misbehaves, the last value written for an id is the one in the warehouse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.panoply import SDK, DataSource, run_source
from asyncconn.sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.buffer.memory import Batch
    from asyncconn.sandbox import Sandbox

    from .scene import SandboxTarget

IDS, VERSIONS = 5, 400
SMALL = BatchPolicy(max_items=30, max_age=0.02, max_in_flight=4)
RETRY = RetryPolicy(attempts=6, initial=0.001, maximum=0.02, maybe_sent="always")
FAULTS = {
    "slow": Fault("delay", seconds=0.05, probability=0.3),
    "refused for a while": Fault("status", status=503, probability=0.3, times=20),
    "answer lost": Fault("drop_after", probability=0.3, times=20),
}

faulty = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


def versions(start: int = 0) -> list[dict[str, Any]]:
    return [{"id": n % IDS, "n": n} for n in range(start, VERSIONS)]


def newest(sandbox: Sandbox, table: str = "t") -> list[int]:
    return [row["n"] for row in sandbox.panoply.sql(f'select n from "{table}" where id < {IDS} order by id')]


LAST = list(range(VERSIONS - IDS, VERSIONS))


@faulty
@pytest.mark.parametrize("how", ["write", "write_nowait", "write_many"])
async def test_the_writer_keeps_it(target: SandboxTarget, fault: Fault, how: str) -> None:
    target.sandbox.faults.add(fault)
    async with target.panoply(policy=SMALL, retry=RETRY) as panoply:
        if how == "write_many":
            await panoply.write_many("t", versions())
        else:
            for record in versions():
                table = "T" if record["n"] % 2 else "t"
                await panoply.write(table, record) if how == "write" else panoply.write_nowait(table, record)
                await asyncio.sleep(0)
    assert newest(target.sandbox) == LAST


@faulty
async def test_the_sdk_keeps_it(sandbox: Sandbox, fault: Fault) -> None:
    sandbox.faults.add(fault)

    def write() -> None:
        with SDK(
            sandbox.panoply.api_key, sandbox.panoply.api_secret, endpoint_url=sandbox.url, policy=SMALL, retry=RETRY
        ) as sdk:
            for record in versions():
                sdk.write("t", record)

    await asyncio.to_thread(write)
    assert newest(sandbox) == LAST


@faulty
async def test_a_source_keeps_it_though_it_spells_its_table_in_two_ways(target: SandboxTarget, fault: Fault) -> None:
    class Versions(DataSource):
        left = versions()

        def read(self, n: int | None = None) -> Any:
            some, self.left = self.left[:50], self.left[50:]
            return [{**row, "kind": "Ab" if row["n"] % 3 else "aB"} for row in some] or None

    target.sandbox.faults.add(fault)
    async with target.panoply(policy=SMALL, retry=RETRY) as panoply:
        await run_source(Versions, {"type": "v"}, into=panoply, destination="{kind}")
    assert newest(target.sandbox, "ab") == LAST


@faulty
async def test_a_spool_keeps_it_when_batches_fail_and_when_it_is_opened_again(
    target: SandboxTarget, fault: Fault, tmp_path: Path
) -> None:
    target.sandbox.faults.add(fault)
    once: dict[str, Any] = {"policy": SMALL, "retry": RetryPolicy(attempts=1), "spool": tmp_path / "spool"}
    async with target.panoply(**once) as panoply:
        await panoply.write_many("t", versions()[: VERSIONS // 2])
    async with target.panoply(**once) as panoply:
        await panoply.write_many("t", versions(VERSIONS // 2))
    target.sandbox.faults.clear()
    async with target.panoply(**once):
        pass
    assert newest(target.sandbox) == LAST


async def test_other_ids_do_not_wait_for_a_batch_that_hangs(target: SandboxTarget) -> None:
    left: list[Batch[bytes]] = []
    target.sandbox.faults.add(Fault("stall", times=1))
    panoply = target.panoply(policy=BatchPolicy(max_items=10, max_age=60.0))
    panoply.on("send", left.append)
    await panoply.write_many("t", [{"id": n} for n in range(10)])
    await panoply.write_many("t", [{"id": n} for n in range(5, 15)])
    receipts = (await panoply.write_many("t", [{"id": n} for n in range(100, 110)])).receipts
    receipts += (await panoply.write_many("u", [{"id": n} for n in range(10)])).receipts
    receipts += (await panoply.write_many("t", [{"n": n} for n in range(10)])).receipts
    await asyncio.gather(*receipts)
    assert len(left) == 4
    assert panoply.stats.pending == 20
    await panoply.aclose(0.0)
