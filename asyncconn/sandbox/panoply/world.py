"""Panoply as its clients meet it: an SQS endpoint, the consumer behind the queue, and the warehouse.

Contract: panoply sections 1 to 4.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.credentials import Inventor
from asyncconn.sandbox.panoply import aws_json, query, sqs
from asyncconn.sandbox.panoply.account import Account, invent_account, parse_account
from asyncconn.sandbox.panoply.records import count_documents
from asyncconn.sandbox.panoply.sqs import Send, SqsError
from asyncconn.sandbox.panoply.warehouse import Found, Warehouse
from asyncconn.sandbox.views import View
from asyncconn.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from asyncconn.sandbox.exchange import Answer, Call
    from asyncconn.sandbox.panoply.records import InvalidDocument
    from asyncconn.sandbox.world import Place

__all__ = ["Counters", "Message", "PanoplyWorld"]

_log = logging.getLogger("asyncconn.sandbox")

_FORM = "application/x-www-form-urlencoded"
_QUEUE_PATH = re.compile(r"/\d+/[^/]+")
_DIGEST = re.compile(rb"(MD5Of[A-Za-z]+(?:>|\": ?\"))([0-9a-f]{32})")
_WORDS = {429: "RequestThrottled", 500: "InternalFailure", 503: "ServiceUnavailable"}


@dataclass(frozen=True, slots=True)
class Message:
    """A message the queue accepted. The repr leaves out the body and the attributes, which hold the secret.

    ``size_bytes`` is the size that counts against the limit (decoded body and attributes), ``received_at``
    aware UTC, ``protocol`` ``"form"`` or ``"json"``, ``records`` how many documents became rows, ``invalid``
    how many did not, and ``rejected`` why the consumer refused the message as a whole, or None.
    """

    message_id: str
    body: str = field(repr=False)
    attributes: dict[str, str | bytes] = field(repr=False)
    size_bytes: int
    received_at: datetime
    protocol: str
    records: int
    invalid: int = 0
    rejected: str | None = None


@dataclass(slots=True)
class Counters:
    """Since the sandbox was made.

    ``requests``: carried out or refused by the platform (not those a fault kept from it); ``accepted``:
    messages; ``refused``: requests answered with an error, and messages refused inside a batch; ``records``:
    became rows; ``bytes``: of accepted messages, as counted against the limit; ``rejected_by_consumer``:
    records accepted by the queue, then dropped for a wrong key or secret (``rejections`` says which);
    ``invalid_documents``: not loadable; ``not_loaded``: messages answered 500 because the warehouse failed.
    """

    requests: int = 0
    accepted: int = 0
    refused: int = 0
    records: int = 0
    bytes: int = 0
    rejected_by_consumer: int = 0
    invalid_documents: int = 0
    not_loaded: int = 0
    rejections: Counter[str] = field(default_factory=Counter)


class PanoplyWorld(World):
    """The embedded Panoply. Reached as ``sandbox.panoply``, too.

        async with Sandbox(PanoplyWorld(warehouse="landed.db")) as sandbox:
            ...
            sandbox.panoply.sql("select city, max(temp) from weather group by city")

    ``max_message_bytes`` is the queue's limit (decoded body and attributes), ``warehouse`` a file for the SQLite
    database instead of memory, ``keep_messages`` how many messages (and invalid documents) are kept to look at.
    Raises :class:`~asyncconn.errors.ConfigError` naming the field; opening it does when the warehouse cannot be opened.
    """

    name = "panoply"
    fault_kinds = frozenset({"wrong_digest"})

    def __init__(
        self,
        *,
        max_message_bytes: int = 262_144,
        warehouse: str | Path | None = None,
        keep_messages: int = 200,
    ) -> None:
        if max_message_bytes < 1 or keep_messages < 0:
            raise ConfigError("max_message_bytes must be 1 or more, keep_messages 0 or more")
        self.counters = Counters()
        self.messages: deque[Message] = deque(maxlen=keep_messages)
        self.invalid: deque[InvalidDocument] = deque(maxlen=keep_messages)
        self.max_message_bytes = max_message_bytes
        self._warehouse = Warehouse(warehouse)
        self._queues: dict[str, Account] = {}

    def __repr__(self) -> str:
        return f"<PanoplyWorld {self._url or 'not open'} {len(self._queues)} queues>"

    # -- for the user ----------------------------------------------------------------------------------------

    @property
    def api_key(self) -> str:
        """The first account's key."""
        return self._first.api_key

    @property
    def api_secret(self) -> str:
        """The first account's secret."""
        return self._first.api_secret

    @property
    def queue_url(self) -> str:
        """The first account's queue."""
        return self.url + self._first.queue_path

    def add_account(
        self, account: str | None = None, *, api_key: str | None = None, api_secret: str | None = None
    ) -> Account:
        """Another key/secret pair with a queue of its own; all accounts share the warehouse.

        Made up, with ``account`` as its name if given; or exactly the given ``api_key`` and ``api_secret``.
        Its ``queue_url`` is empty while the sandbox is not open. Raises
        :class:`~asyncconn.errors.ConfigError` when only one of the two is given, when they are malformed, or
        when the queue exists already.
        """
        if api_key is None and api_secret is None:
            added = invent_account(self._inventor, account)
        elif api_key is None or api_secret is None or account is not None:
            raise ConfigError("give api_key and api_secret together, without account, or neither")
        else:
            added = parse_account(api_key, api_secret)
        if added.queue_path in self._queues:
            raise ConfigError("there is an account with this queue already")
        added = replace(added, queue_url=f"{self._url}{added.queue_path}" if self._url else "")
        self._queues[added.queue_path] = added
        return added

    def sql(self, statement: str, *params: object) -> list[dict[str, Any]]:
        """Ask what landed: one reading statement in SQLite's dialect, ``?`` for parameters.

        Blocks while a message is being loaded. Raises :class:`~asyncconn.errors.ConfigError` with SQLite's
        message, and :class:`~asyncconn.errors.LifecycleError` when the sandbox is not open.
        """
        return self._warehouse.sql(statement, *params)

    def tables(self) -> dict[str, int]:
        """Number of rows by table."""
        return self._warehouse.tables()

    # -- for the server --------------------------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """Key, secret and endpoint for a client's settings."""
        return {
            "ASYNCCONN_PANOPLY_API_KEY": self.api_key,
            "ASYNCCONN_PANOPLY_API_SECRET": self.api_secret,
            "ASYNCCONN_PANOPLY_ENDPOINT_URL": self.url,
        }

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Queues, the service's root, and everything in AWS's JSON."""
        return (
            path == "/"
            or path in self._queues
            or _QUEUE_PATH.fullmatch(path) is not None
            or headers.get("X-Amz-Target", "").startswith(aws_json.TARGET)
        )

    def settle(self, place: Place) -> None:
        """The first account is made up."""
        super().settle(place)
        _ = self._first

    async def open(self, url: str) -> None:
        """Open the warehouse; the sandbox listens on ``url``."""
        await self._warehouse.open()
        await super().open(url)
        self._queues = {path: replace(a, queue_url=url + path) for path, a in self._queues.items()}

    async def close(self) -> None:
        """Close the warehouse; what was in memory is gone."""
        await super().close()
        self._warehouse.close()

    async def answer(self, call: Call) -> Answer:
        """Serve one SQS request of either protocol."""
        self.counters.requests += 1
        try:
            return await (self._answer_json(call) if _is_json(call) else self._answer_form(call))
        except SqsError as error:
            self.counters.refused += 1
            return self._error(call, error)

    def refusal(self, call: Call, status: int) -> Answer:
        """An SQS error of this status."""
        word = _WORDS.get(status, "ServiceUnavailable" if status >= 500 else "AccessDenied")
        return self._error(call, SqsError(word, "The fault script of the sandbox asked for this.", status=status))

    def spoil(self, kind: str, answer: Answer) -> Answer:
        """``wrong_digest``: every MD5 with its digits turned round."""
        return replace(answer, body=_DIGEST.sub(lambda found: found[1] + _other(found[2]), answer.body))

    # -- for the sandbox's page and control --------------------------------------------------------------------

    async def view(self) -> View:
        """Tables with their rows, and the counters."""
        counters = self.counters
        shown = {
            "calls": counters.requests,
            "messages": counters.accepted,
            "records": counters.records,
            "bytes": counters.bytes,
            "refused": counters.refused,
            "dropped for a wrong key or secret": counters.rejected_by_consumer,
            "documents that could not be loaded": counters.invalid_documents,
        }
        return View(shown, await asyncio.to_thread(self.tables))

    async def ask(self, statement: str, *params: object, most: int, seconds: float, most_bytes: int) -> Found:
        """As :meth:`sql`, without keeping what lands waiting: at most so many rows, bytes of JSON, and seconds.

        Raises :class:`~asyncconn.sandbox.panoply.Busy`, too, when several ask already.
        """
        return await self._warehouse.ask(statement, params, most, most_bytes, seconds)

    def secrets(self) -> list[str]:
        """Keys and secrets of all accounts, and the part of a secret that the queue's name ends with."""
        return [
            text
            for account in self._queues.values()
            for text in (account.api_key, account.api_secret, account.queue_name.removeprefix(f"sdk-{account.name}-"))
        ]

    async def reset(self) -> None:
        """Drop all tables, in the file of ``warehouse`` too, and forget the messages; accounts stay."""
        await self._warehouse.reset()
        self.counters = Counters()
        self.messages.clear()
        self.invalid.clear()

    # -- SQS -------------------------------------------------------------------------------------------------

    async def _answer_form(self, call: Call) -> Answer:
        if call.method != "POST":
            raise SqsError("MethodNotAllowed", "The sandbox takes POST here.", status=405)
        kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != _FORM or call.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise SqsError("UnsupportedMediaType", f"The request must be plain {_FORM}.", status=415)
        send, account = query.read_send(call), self._queue(call.path)
        message_id = await self._accept(account, send, "form")
        return query.sent_answer(send, message_id, str(uuid.uuid4()))

    async def _answer_json(self, call: Call) -> Answer:
        if call.method != "POST":
            raise SqsError("MethodNotAllowed", "The sandbox takes POST here.", status=405)
        action, request = aws_json.action(call), aws_json.read(call)
        match action:
            case "SendMessage":
                send, account = aws_json.read_send(request), self._queue_in(request)
                result: dict[str, Any] = aws_json.sent(send, await self._accept(account, send, "json"))
            case "SendMessageBatch":
                result = await self._send_batch(self._queue_in(request), request)
            case "GetQueueUrl":
                result = {"QueueUrl": self._queue_named(aws_json.text(request, "QueueName")).queue_url}
            case "GetQueueAttributes":
                result = self._attributes(self._queue_in(request), request.get("AttributeNames"))
            case _:
                raise SqsError("InvalidAction", f"The action {action[:100]} is not valid for this endpoint.")
        return aws_json.answer(result, str(uuid.uuid4()))

    async def _send_batch(self, account: Account, request: dict[str, Any]) -> dict[str, Any]:
        good: dict[str, Send] = {}
        failed: list[dict[str, Any]] = []
        entries = aws_json.read_batch(request)
        for entry_id, entry in entries.items():
            try:
                send = aws_json.read_send(entry)
                sqs.check(send, self.max_message_bytes)
            except SqsError as error:
                failed.append({"Id": entry_id, "SenderFault": True, "Code": error.code, "Message": error.message})
            else:
                good[entry_id] = send
        if (total := sum(map(sqs.size_bytes, good.values()))) > self.max_message_bytes:
            self.counters.refused += len(entries) - 1  # the refused request counts as one
            raise aws_json.too_long(total, self.max_message_bytes)
        self.counters.refused += len(failed)
        successful = []
        for entry_id, send in good.items():
            message_id = await self._accept(account, send, "json")
            successful.append({"Id": entry_id, **aws_json.sent(send, message_id)})
        return {"Successful": successful, "Failed": failed}

    def _attributes(self, account: Account, names: object) -> dict[str, Any]:
        wanted = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        aws_account = account.queue_path.split("/")[1]
        known = {
            "QueueArn": f"arn:aws:sqs:us-east-1:{aws_account}:{account.queue_name}",
            "MaximumMessageSize": str(self.max_message_bytes),
            "ApproximateNumberOfMessages": "0",
        }
        return {"Attributes": {name: known[name] for name in known if name in wanted or "All" in wanted}}

    @cached_property
    def _inventor(self) -> Inventor:
        return Inventor(self.place.seed)

    @cached_property
    def _first(self) -> Account:
        return self.add_account()

    def _queue(self, path: str) -> Account:
        if (account := self._queues.get(path)) is None:
            raise SqsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return account

    def _queue_in(self, request: dict[str, Any]) -> Account:
        url = aws_json.text(request, "QueueUrl")
        if not url:
            raise SqsError("MissingParameter", "The request must contain the parameter QueueUrl.")
        try:
            path = unquote(urlsplit(url).path)
        except ValueError:
            path = ""
        return self._queue(path)

    def _queue_named(self, name: str) -> Account:
        for account in self._queues.values():
            if account.queue_name == name:
                return account
        return self._queue("")

    # -- the consumer ----------------------------------------------------------------------------------------

    async def _accept(self, account: Account, send: Send, protocol: str) -> str:
        """Check, load, count and keep a message; returns its id. Raises :class:`SqsError`."""
        sqs.check(send, self.max_message_bytes)
        received_at = self.place.clock.utcnow()
        rejected = account.objection(send.attributes)
        records, invalid = 0, 0
        if rejected is not None:
            # The queue does not know keys and secrets: it accepts, and the records vanish behind it.
            documents = count_documents(send.body)
            self.counters.rejected_by_consumer += documents
            self.counters.rejections[rejected] += documents
        else:
            try:
                loaded = await self._warehouse.load(send.body, received_at.isoformat())
            except (sqlite3.Error, LifecycleError) as error:
                self.counters.not_loaded += 1
                _log.error("a message was not loaded: %s: %s", type(error).__name__, error)
                raise SqsError("InternalFailure", "The warehouse failed.", status=500) from None
            records, invalid = loaded.records, len(loaded.invalid)
            self.invalid.extend(loaded.invalid)
        message = Message(
            message_id=str(uuid.uuid4()),
            body=send.body,
            attributes={name: attribute.value for name, attribute in send.attributes.items()},
            size_bytes=sqs.size_bytes(send),
            received_at=received_at,
            protocol=protocol,
            records=records,
            invalid=invalid,
            rejected=rejected,
        )
        self.messages.append(message)
        self.counters.accepted += 1
        self.counters.records += records
        self.counters.invalid_documents += invalid
        self.counters.bytes += message.size_bytes
        return message.message_id

    def _error(self, call: Call, error: SqsError) -> Answer:
        request_id = str(uuid.uuid4())
        write = aws_json.error_answer if _is_json(call) else query.error_answer
        answer = write(error, request_id)
        return replace(answer, headers={**answer.headers, "Allow": "POST"}) if error.status == 405 else answer


def _is_json(call: Call) -> bool:
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind == aws_json.CONTENT_TYPE or "X-Amz-Target" in call.headers


def _other(digest: bytes) -> bytes:
    turned = digest[::-1]
    return turned if turned != digest else b"0" * len(digest)
