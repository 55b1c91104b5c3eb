"""Panoply's writer in front of the sandbox, with both senders."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from asyncconn import Hub
from asyncconn.errors import ConfigError

from .scene import SandboxTarget
from .writer_tests import SLOW, Received, WriterTests

if TYPE_CHECKING:
    from asyncconn.sandbox import Sandbox


class TestWriterOnTheSandbox(WriterTests):
    pass


async def test_both_senders_leave_the_same_message(sandbox: Sandbox) -> None:
    records = [{"id": i, "s": f"a&b=c+{i} %;é\ud800\n", "n": 2**70, "f": i / 7} for i in range(300)]
    seen: dict[str, list[Received]] = {}
    for sender in ("form", "sqs"):
        async with Hub() as hub:
            target = SandboxTarget(sandbox, hub, sender)
            async with target.panoply(policy=SLOW) as panoply:
                await panoply.write_many("t", records)
            seen[sender] = await target.messages()
            assert [message.protocol for message in sandbox.panoply.messages] == [
                "form" if sender == "form" else "json"
            ]
            sandbox.panoply.messages.clear()
    assert seen["form"] == seen["sqs"]
    assert [message.size for message in seen["form"]] == [message.size for message in seen["sqs"]]


async def test_a_profile_of_aws_that_is_not_there_is_said_and_nothing_was_sent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    async with Hub(on_undelivered="log") as hub:
        panoply = SandboxTarget(sandbox, hub, "sqs").panoply(policy=SLOW, aws_credentials="default")
        await panoply.write("t", {"id": 1})
        [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, ConfigError)
    assert "nobody" in str(failure.__cause__)
    assert not failure.maybe_delivered
    assert not sandbox.arrivals


async def test_without_the_extra_the_sender_is_refused_before_anything_is_written(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    async with Hub() as hub:
        with pytest.raises(ConfigError, match=r"aiobotocore is not installed: pip install 'asyncconn\[sqs\]'"):
            SandboxTarget(sandbox, hub, "sqs").panoply()
        assert "0 connectors" in repr(hub)

        await SandboxTarget(sandbox, hub, "form").panoply().write("t", {"id": 1})
    assert sandbox.panoply.messages


@pytest.mark.parametrize("sender", ["form"])
async def test_what_was_written_at_the_same_moment_from_many_tasks_shares_a_message(target: SandboxTarget) -> None:
    panoply = target.panoply(policy=SLOW)
    await asyncio.gather(*[panoply.write("t", {"id": i}) for i in range(100)])
    await panoply.flush()
    sandboxed = target.sandbox.panoply.messages
    assert len(sandboxed) == 1
    assert sandboxed[0].records == 100
