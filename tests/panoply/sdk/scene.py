"""An ``SDK`` and the sandbox it writes to, which runs on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn import BatchPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.panoply.sdk import SDK
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Coroutine


T = TypeVar("T")

SLOW = BatchPolicy(max_age=60.0)
QUICK = RetryPolicy(attempts=4, initial=0.01, maximum=0.05, deadline=5.0, maybe_sent="always")


@dataclass
class Target:
    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop

    def sdk(self, **options: Any) -> SDK:
        given = {"endpoint_url": self.sandbox.url, "policy": SLOW, "retry": QUICK, **options}
        return SDK(self.sandbox.panoply.api_key, self.sandbox.panoply.api_secret, **given)

    def ids(self, table: str = "t") -> list[Any]:
        async def read() -> list[Any]:
            if table not in self.sandbox.panoply.tables():
                return []
            return [row["id"] for row in self.sandbox.panoply.sql(f'select id from "{table}"')]

        return sorted(self.run(read()))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(15)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def balanced(sdk: SDK) -> Any:
    stats = sdk.stats
    assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending, stats
    return stats
