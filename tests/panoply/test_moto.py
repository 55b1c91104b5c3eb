"""Panoply's writer in front of an SQS that is not ours: moto's server, through AWS's own client.

Only the ``sqs`` sender, and signed: moto takes whatever has no signature for a request to S3.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub, Panoply
from asyncconn.core.retrying import ONCE
from asyncconn.errors import BadRequest, DeliveryFailed, ProtocolError

from .writer_tests import SLOW, Received, WriterTests, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.service("moto")

ACCOUNT = "123456789012"  # moto's own
AWS = ("any", "any")  # moto verifies no signature, and wants one
KEY = "acme/k1r4nd0mr4nd0m01"


def secret_for(rand2: str) -> str:
    return base64.b64encode(f"{rand2}/3f2b8c1e-0000-4000-8000-0123456789ab/{ACCOUNT}/us-east-1".encode()).decode()


@dataclass(frozen=True)
class Moto:
    url: str
    client: Any


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    import boto3  # type: ignore[import-untyped] # it has no types
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "sqs", region_name="us-east-1", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any"
    )
    yield Moto(url, client)
    client.close()
    server.stop()


@dataclass
class MotoTarget:
    moto: Moto
    hub: Hub
    rand2: str
    seen: list[Received] = field(default_factory=list)

    @property
    def credentials(self) -> tuple[str, str]:
        return KEY, secret_for(self.rand2)

    @property
    def queue(self) -> str:
        return f"sdk-acme-{self.rand2}"

    def panoply(self, **options: Any) -> Panoply:
        given: dict[str, Any] = {
            "hub": self.hub,
            "endpoint_url": self.moto.url,
            "sender": "sqs",
            "aws_credentials": AWS,
        }
        return Panoply(*self.credentials, **{**given, **options})

    async def messages(self) -> list[Received]:
        await asyncio.to_thread(self._receive)
        return list(self.seen)

    def _receive(self) -> None:
        url = f"{self.moto.url}/{ACCOUNT}/{self.queue}"
        while more := self.moto.client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in more:
                attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                self.seen.append(Received(message["Body"], attributes))
                self.moto.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


numbers = itertools.count()


@pytest.fixture
async def target(moto: Moto) -> AsyncIterator[MotoTarget]:
    async with Hub(on_undelivered="log") as hub:  # the tests look themselves
        target = MotoTarget(moto, hub, f"r4nd2r4nd2r4n{next(numbers):03}")
        made = await asyncio.to_thread(lambda: moto.client.create_queue(QueueName=target.queue))
        yield target
    await asyncio.to_thread(lambda: moto.client.delete_queue(QueueUrl=made["QueueUrl"]))


class TestWriterOnMoto(WriterTests):
    pass


async def test_a_queue_that_does_not_exist_is_said_and_the_records_come_back(target: MotoTarget) -> None:
    secret = secret_for("nobody")
    panoply = Panoply(
        KEY,
        secret,
        hub=target.hub,
        endpoint_url=target.moto.url,
        sender="sqs",
        policy=SLOW,
        retry=ONCE,
        aws_credentials=AWS,
    )
    receipt = await panoply.write("t", {"id": 1})
    report = await panoply.flush()
    assert report.undelivered == [{"id": 1, "__table": "t"}]
    with pytest.raises(DeliveryFailed) as caught:
        await receipt
    cause = caught.value.__cause__
    assert isinstance(cause, BadRequest)
    assert "NonExistentQueue" in str(cause)
    assert not caught.value.maybe_delivered
    assert settled(panoply).failed == 1


async def test_a_server_that_answers_200_and_is_no_queue_is_noticed(target: MotoTarget) -> None:
    # This is what moto's S3 does with a request that has no signature.
    panoply = target.panoply(aws_credentials=None, policy=SLOW, retry=ONCE)
    await panoply.write("t", {"id": 1})
    [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, ProtocolError)
    assert failure.maybe_delivered
    assert await target.messages() == []
