"""What a ``write`` costs while nothing has to be waited for, and that a loop of them waits for its own senders."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import asyncconn
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.sandbox import Fault

from .writer_tests import SLOW

if TYPE_CHECKING:
    from types import FrameType

    from .scene import SandboxTarget

HERE = str(Path(asyncconn.__file__).parent)
WRITES = 100


@pytest.mark.parametrize("record", [{"id": 1, "a": 2}, {"id": "x", "a": 2}, {"a": 2, "b": None}], ids=str)
@pytest.mark.parametrize("sender", ["form"])
async def test_a_write_makes_six_calls_of_our_own_at_most(target: SandboxTarget, record: dict[str, Any]) -> None:
    panoply = target.panoply(policy=SLOW)
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HERE):
            calls[frame.f_code.co_name] += 1

    for _ in range(10):
        await panoply.write("t", record)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for _ in range(WRITES):
            await panoply.write("t", record)
    finally:
        sys.setprofile(before)
    await panoply.flush()

    assert calls["write"] == WRITES
    assert calls.total() <= 6 * WRITES, calls


@pytest.mark.parametrize("many", [False, True], ids=["write", "write_many"])
@pytest.mark.parametrize("sender", ["form"])
async def test_a_tight_loop_is_no_faster_than_its_own_senders(target: SandboxTarget, many: bool) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=0.01, times=None))
    policy = BatchPolicy(max_age=60.0, max_items=10, max_in_flight=2, max_pending_items=1_000_000)
    panoply = target.panoply(policy=policy)
    sent: list[int] = []
    panoply.on("send", lambda batch: sent.append(len(batch.items)))
    ahead: list[int] = []
    for number in range(0, 1000, 5):
        some = [{"id": number + more} for more in range(5)]
        if many:
            await panoply.write_many("t", some)
        else:
            for record in some:
                await panoply.write("t", record)
        ahead.append(panoply.stats.accepted // 10 - len(sent))
    report = await panoply.flush()

    assert report.delivered == 1000
    # Two wait for each sender, and it may just have taken one of which it has not told yet.
    assert max(ahead) <= 3 * policy.max_in_flight
