"""What can go wrong while writing, and how nothing gets lost: the error event, receipts, and the last report."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncconn import Hub, Panoply, RetryPolicy
from asyncconn.errors import DeliveryFailed, InvalidRecord
from asyncconn.sandbox import Fault, Sandbox


async def main() -> None:
    backlog: list[Any] = []
    async with Sandbox() as sandbox, Hub() as hub:
        account = sandbox.panoply
        panoply = Panoply(
            account.api_key,
            account.api_secret,
            hub=hub,
            endpoint_url=account.url,
            retry=RetryPolicy(attempts=2, initial=0.05, maximum=0.1, maybe_sent="always"),
        )

        @panoply.on("error")
        def keep(failure: DeliveryFailed) -> None:
            backlog.extend(failure.records)

        # One bad minute: the server refuses two attempts in a row, which is all that the policy allows.
        sandbox.faults.add(Fault("status", status=503, times=2))
        receipt = await panoply.write("events", {"id": 1})
        await panoply.flush()
        try:
            await receipt
        except DeliveryFailed as failure:
            print(f"not delivered: {len(failure.records)} record, cause {type(failure.__cause__).__name__}")

        # The records came with the event: write them again.
        print("kept for later:", backlog)
        await panoply.write_many("events", [{"id": record["id"], "again": True} for record in backlog])

        # A record that can never be sent is refused where it is written.
        try:
            await panoply.write("events", {"id": 2, "value": object()})
        except InvalidRecord as error:
            print("refused at", error.path)

        report = await panoply.flush()
        print(f"delivered {report.delivered}, landed {account.tables()}")
    assert hub.report is not None
    # Since the start: the first try of the record counts as failed, and the handler was told of it.
    print(f"failed {len(hub.report.undelivered)}, of which nobody was told: {hub.report.untold}")


if __name__ == "__main__":
    asyncio.run(main())
