"""Panoply's writer in front of the sandbox, with both senders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoply_sandbox import SandboxTarget
from panoply_writer import SLOW, Received, WriterTests

from asyncconn import Hub

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
