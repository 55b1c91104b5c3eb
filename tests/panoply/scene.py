"""The sandbox as a target for Panoply's writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncconn import Hub, Panoply
from asyncconn.core.retrying import RetryPolicy
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox import Sandbox

from .writer_tests import Received

QUICK = RetryPolicy(attempts=4, initial=0.01, maximum=0.05, deadline=5.0, maybe_sent="always")


@dataclass
class SandboxTarget:
    sandbox: Sandbox
    hub: Hub
    sender: str

    @property
    def credentials(self) -> tuple[str, str]:
        return self.sandbox.panoply.api_key, self.sandbox.panoply.api_secret

    def panoply(self, *, credentials: tuple[str, str] | None = None, **options: Any) -> Panoply:
        given: dict[str, Any] = {
            "hub": self.hub,
            "endpoint_url": self.sandbox.url,
            "sender": self.sender,
            "retry": QUICK,
            "timeouts": Timeouts(connect=1.0, total=5.0),
        }
        return Panoply(*(credentials or self.credentials), **{**given, **options})

    async def messages(self) -> list[Received]:
        return [
            Received(message.body, {name: str(value) for name, value in message.attributes.items()})
            for message in self.sandbox.panoply.messages
        ]

    def rows(self, table: str = "t") -> set[Any]:
        """The ids that the warehouse holds."""
        if table not in self.sandbox.panoply.tables():
            return set()
        return {row["id"] for row in self.sandbox.panoply.sql(f'select id from "{table}"')}
