"""A program that uses the sandbox's control, as one in any language would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .conftest import FORM, form

if TYPE_CHECKING:
    import aiohttp

    from asyncconn.sandbox import Sandbox


class Control:
    """Plain JSON over HTTP."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        if body is not None:
            more["json"] = body
        async with self.http.request(method, f"/_sandbox{path}", **more) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def refusal(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str]:
        status, said = await self.ask(method, path, body, **more)
        assert list(said) == ["error"]
        return status, said["error"]

    async def land(self, *documents: dict[str, Any]) -> None:
        """Records in the table ``t``, as a client of Panoply sends them."""
        panoply = self.sandbox.panoply
        body = "\n".join(json.dumps({"__table": "t", **document}) for document in documents)
        data = form(body, {"key": panoply.api_key, "secret": panoply.api_secret})
        async with self.http.post(panoply.queue_url, data=data, headers=FORM) as answer:
            assert answer.status == 200
