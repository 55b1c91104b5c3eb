"""Records of one key take effect in the order in which they were written, whatever happens on the way."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import balanced, virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncconn import Panoply, RetryPolicy, Timeouts
from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import Answer, BadRequest, BufferClosed, ConnectFailed, ReadTimeout
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock

KEYS = st.one_of(st.integers(0, 2), st.integers(0, 2), st.integers(0, 40), st.none())
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS),
        st.tuples(st.just("put_many"), st.lists(KEYS, min_size=1, max_size=12)),
        st.tuples(st.just("flush"), st.sampled_from([0.0, 1.0, 90.0])),
        st.tuples(st.just("sleep"), st.sampled_from([0.1, 1.0, 2.0, 5.0, 70.0])),
        st.tuples(st.just("restart"), st.sampled_from([0.0, 1.0, 60.0])),
    ),
    max_size=25,
)
FATES = st.lists(
    st.sampled_from(["ok", "ok", "ok", "slow", "twice", "lost answer", "away", "refused", "hangs"]),
    min_size=1,
    max_size=12,
)
POLICIES = st.fixed_dictionaries({"max_items": st.integers(1, 8), "max_in_flight": st.integers(1, 4)})


class Warehouse:
    """What the batches are sent to: it knows, of each run and key, what each batch made of it, and all that arrived."""

    def __init__(self, fates: list[str]) -> None:
        self._fates = itertools.cycle(fates)
        self.run = 0
        self.values: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.arrived: set[int] = set()
        self.refused: set[int] = set()
        self.kind = False

    def load(self, batch: Batch[bytes]) -> None:
        rows = [item.decode().split(":") for item in batch.items]
        self.arrived.update(int(number) for _, number in rows)
        for key, number in dict(rows).items():
            self.values[key, self.run].append(int(number))

    async def send(self, batch: Batch[bytes]) -> None:
        fate = "ok" if self.kind else next(self._fates)
        if fate == "refused":
            self.refused.update(int(item.partition(b":")[2]) for item in batch.items)
            raise BadRequest("no", Answer("p", 400))
        if fate == "away":
            raise ConnectFailed("nobody there")
        if fate == "hangs":
            await asyncio.sleep(3600)
        if fate in ("slow", "twice"):
            await asyncio.sleep(1.5)
        self.load(batch)
        if fate == "lost answer":
            raise ReadTimeout("no answer")
        if fate == "twice":
            await asyncio.sleep(1.5)
            self.load(batch)


def key_of(item: bytes) -> tuple[str, int | None]:
    key = item.decode().partition(":")[0]
    return "", None if key == "-" else int(key)


class Story:
    """Plays one script on one buffer after another."""

    def __init__(self, clock: VirtualClock, warehouse: Warehouse, policy: dict[str, Any], path: Path | None) -> None:
        self.clock = clock
        self.warehouse = warehouse
        self.policy = BatchPolicy(max_bytes=200, max_pending_bytes=400, max_pending_items=30, **policy)
        self.path = path
        self.numbers = itertools.count()
        self.written: dict[str, list[int]] = defaultdict(list)
        self.buffer = self.make()

    def make(self) -> BatchBuffer[bytes] | SpooledBuffer:
        if self.path is None:
            return BatchBuffer(self.warehouse.send, size=len, policy=self.policy, clock=self.clock)
        spool = Spool(self.path, fsync=False)
        return SpooledBuffer(self.warehouse.send, spool, policy=self.policy, clock=self.clock, key=key_of)

    async def put_many(self, keys: list[int | None]) -> None:
        items = []
        for key in keys:
            name = "-" if key is None else str(key)
            number = next(self.numbers)
            self.written[name].append(number)
            items.append(f"{name}:{number}".encode())
        with suppress(BufferClosed):
            if len(items) == 1:
                await self.buffer.put(items[0], keys[0])
            else:
                await self.buffer.put_many(items, keys)

    async def step(self, what: str, given: Any) -> None:
        if what == "sleep":
            await self.clock.sleep(given)
        elif what == "flush":
            await self.buffer.flush(given)
        elif what == "restart":
            await self.buffer.aclose(given)
            self.warehouse.run += 1
            self.buffer = self.make()
        else:
            await self.put_many(given if what == "put_many" else [given])
        if isinstance(self.buffer, BatchBuffer):
            balanced(self.buffer)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, fates=FATES, policy=POLICIES, spooled=st.booleans())
@virtual
async def test_no_value_of_a_key_takes_effect_after_a_later_one(
    clock: VirtualClock, steps: list[tuple[str, Any]], fates: list[str], policy: dict[str, Any], spooled: bool
) -> None:
    warehouse = Warehouse(fates)
    with tempfile.TemporaryDirectory() as folder:
        story = Story(clock, warehouse, policy, Path(folder) / "spool" if spooled else None)
        for what, value in steps:
            await story.step(what, value)
        await story.buffer.aclose(5.0)
        if spooled:  # a last run, and nothing goes wrong any more
            warehouse.kind, warehouse.run = True, warehouse.run + 1
            await story.make().aclose()

    whole: dict[str, list[int]] = defaultdict(list)
    for (name, run), values in warehouse.values.items():
        if name != "-":
            assert values == sorted(values), f"{name} was in turn {values} in run {run}"
            whole[name] += values
    for name, values in whole.items():  # a run begins with what the one before it could not be sure of
        assert values[-1] == max(values), f"{name} was in turn {values}"
    if spooled:
        for name, written in story.written.items():
            lost = set(written) - warehouse.arrived - warehouse.refused
            assert not lost, f"{name}: {lost} never arrived"


FAULTS = st.sampled_from(
    [
        "",
        "status:503 probability=0.4 times=3",
        "drop_before probability=0.4 times=3",
        "drop_after probability=0.4 times=3",
    ]
)
WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), KEYS),
        st.tuples(st.just("write_many"), st.lists(KEYS, min_size=1, max_size=30)),
        st.tuples(st.just("flush"), st.just(None)),
        st.tuples(st.just("restart"), st.just(None)),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=15, deadline=None)
@given(
    steps=WRITES,
    faults=FAULTS,
    attempts=st.sampled_from([1, 3]),
    policy=POLICIES,
    sender=st.sampled_from(["form", "form", "sqs"]),
    spooled=st.booleans(),
    seed=st.integers(0, 1000),
)
async def test_the_last_value_written_for_an_id_is_the_one_in_the_warehouse(
    steps: list[tuple[str, Any]],
    faults: str,
    attempts: int,
    policy: dict[str, Any],
    sender: Any,
    spooled: bool,
    seed: int,
) -> None:
    numbers = itertools.count()
    written: dict[int | None, list[int]] = defaultdict(list)
    lost: set[int] = set()

    def records(ids: list[int | None]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = [{"id": one, "n": next(numbers)} for one in ids]
        for record in made:
            written[record["id"]].append(record["n"])
        return made

    with tempfile.TemporaryDirectory() as folder:
        async with Sandbox(faults=faults or None, seed=seed) as sandbox:

            def panoply() -> Panoply:
                writer = Panoply(
                    sandbox.panoply.api_key,
                    sandbox.panoply.api_secret,
                    endpoint_url=sandbox.panoply.url,
                    sender=sender,
                    policy=BatchPolicy(max_age=0.02, **policy),
                    retry=RetryPolicy(attempts=attempts, initial=0.001, maximum=0.005, maybe_sent="always"),
                    timeouts=Timeouts(connect=1.0, total=5.0),
                    spool=Path(folder) / "spool" if spooled else None,
                )
                if not spooled:
                    writer.on("error", lambda failure: lost.update(record["n"] for record in failure.records))
                return writer

            writer = await panoply().open()
            for what, given_ids in steps:
                if what == "write":
                    [record] = records([given_ids])
                    await writer.write("T" if record["n"] % 2 else "t", record)
                elif what == "write_many":
                    await writer.write_many("t", records(given_ids))
                elif what == "flush":
                    await writer.flush(0.05)
                else:
                    await writer.aclose()
                    writer = await panoply().open()
            await writer.aclose()
            if spooled:
                sandbox.faults.clear()
                await (await panoply().open()).aclose()
            rows = sandbox.panoply.sql("select id, n from t") if "t" in sandbox.panoply.tables() else []

    found = {row["id"]: row["n"] for row in rows}
    for one, values in written.items():
        arrived = values if spooled else [value for value in values if value not in lost]
        if one is not None and arrived:  # what was given up may have arrived all the same, and is later then
            assert found[one] >= arrived[-1], f"{one} was written as {values}"
