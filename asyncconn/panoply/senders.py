"""Two ways to put a message on the queue: the original's own form on the shared session, and AWS's client."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from asyncconn.errors import ProtocolError
from asyncconn.http.sqs import SqsClient
from asyncconn.panoply import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.http.transport import Transport
    from asyncconn.hub import Hub
    from asyncconn.panoply.wire import SentMessage

__all__ = ["FormSender", "Sender", "SqsSender"]

_FORM = {"Content-Type": wire.CONTENT_TYPE}
_ROUTE = "/{account}/{queue}"  # the queue's name is made of the key


class Sender(Protocol):
    """Delivers encoded records as one message, with its own retries, or raises."""

    async def send(self, items: Sequence[bytes]) -> SentMessage:
        """Send one message."""
        ...

    async def aclose(self) -> None:
        """Let go of what the sender holds."""
        ...


class FormSender:
    """An unsigned form POST, byte for byte what the original means. Contract: panoply section 2."""

    def __init__(self, transport: Transport, queue_path: str, attributes: Mapping[str, str]) -> None:
        self._transport = transport
        self._path = queue_path
        self._tail = wire.form_tail(attributes)

    async def send(self, items: Sequence[bytes]) -> SentMessage:
        """One POST, repeated by the transport's policy; the digest in the answer is compared."""
        body, digest = self._message(items)
        try:
            # The digest is part of the attempt: an answer that is not the queue's leaves the outcome open.
            answer = await self._transport.request(
                "POST",
                self._path,
                data=body,
                headers=_FORM,
                idempotent=False,
                decode=lambda answer: wire.sent_message(answer.body, digest),
                route=_ROUTE,
            )
            sent: SentMessage = answer.value
        except ProtocolError as error:
            # aiohttp's error of an answer that is not HTTP quotes the URL, and its path holds a part of the secret.
            raise error from None
        return sent

    def _message(self, items: Sequence[bytes]) -> tuple[memoryview, str]:
        body, digest = wire.form_message(items, self._tail)
        return memoryview(body), digest  # it ends with key and secret, and a view shows nothing of it

    async def aclose(self) -> None:
        """Nothing of its own."""


class SqsSender:
    """AWS's own client on the hub's connector: for signed queues, and for deployments that prefer it."""

    def __init__(
        self,
        hub: Hub,
        transport: Transport,
        queue_path: str,
        attributes: Mapping[str, str],
        *,
        region: str,
        credentials: tuple[str, str] | str | None,
    ) -> None:
        self._attributes = attributes
        self._client = SqsClient(
            lambda: hub.session,
            endpoint_url=transport.base_url,
            queue_url=transport.base_url + queue_path,
            region=region,
            timeouts=transport.timeouts,
            redactor=transport.redactor,
            credentials=credentials,
            service=transport.service,
        )
        self._transport = transport
        self._path = queue_path

    async def send(self, items: Sequence[bytes]) -> SentMessage:
        """One SendMessage, repeated by the transport's policy; the digest in the answer is compared."""
        text = wire.message_text(items)
        digest = hashlib.md5(text, usedforsecurity=False).hexdigest()

        async def once() -> SentMessage:
            message_id, seen = await self._client.send_message(text.decode("ascii"), self._attributes)
            return wire.verified(message_id, seen, digest)

        return await self._transport.aside("POST", self._path, once, route=_ROUTE)

    async def aclose(self) -> None:
        """Close the client; the connector stays the hub's."""
        await self._client.aclose()
