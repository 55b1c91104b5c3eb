"""A real SQS client sends through the sandbox."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from asyncconn.sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def sqs_client(sandbox: Sandbox) -> AsyncIterator[Any]:
    config = AioConfig(signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1})
    async with get_session().create_client(
        "sqs", region_name="us-east-1", endpoint_url=sandbox.panoply.url, config=config
    ) as client:
        yield client


def attributes(sandbox: Sandbox) -> dict[str, Any]:
    values = {"key": sandbox.panoply.api_key, "secret": sandbox.panoply.api_secret}
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


async def test_send_message_lands_in_the_warehouse(sandbox: Sandbox) -> None:
    async with sqs_client(sandbox) as client:
        answer = await client.send_message(
            QueueUrl=sandbox.panoply.queue_url,
            MessageBody='{"a": 1, "__table": "T"}\n',
            MessageAttributes=attributes(sandbox),
        )
    message = sandbox.panoply.messages[0]
    assert answer["MessageId"] == message.message_id
    assert answer["ResponseMetadata"]["RequestId"]
    assert (message.protocol, message.records) == ("json", 1)
    assert sandbox.panoply.sql("select a from t") == [{"a": 1}]


async def test_a_batch_is_answered_entry_by_entry(sandbox: Sandbox) -> None:
    body = '{"a": 1, "__table": "t"}'
    async with sqs_client(sandbox) as client:
        answer = await client.send_message_batch(
            QueueUrl=sandbox.panoply.queue_url,
            Entries=[
                {"Id": "good", "MessageBody": body, "MessageAttributes": attributes(sandbox)},
                {"Id": "bad", "MessageBody": "\x01"},
            ],
        )
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    [failed] = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "InvalidMessageContents", True)
    assert (sandbox.panoply.counters.accepted, sandbox.panoply.counters.refused) == (1, 1)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([("a", "x")] * 2, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        ([(str(i), "x") for i in range(11)], "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        ([("a b", "x")], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        ([("a", "x" * 200_000), ("b", "x" * 200_000)], "AWS.SimpleQueueService.BatchRequestTooLong"),
    ],
)
async def test_a_batch_that_breaks_the_rules_is_refused_whole(
    sandbox: Sandbox, entries: list[tuple[str, str]], code: str
) -> None:
    async with sqs_client(sandbox) as client:
        with pytest.raises(ClientError) as caught:
            await client.send_message_batch(
                QueueUrl=sandbox.panoply.queue_url,
                Entries=[{"Id": entry_id, "MessageBody": body} for entry_id, body in entries],
            )
    assert caught.value.response["Error"]["Code"] == code
    assert sandbox.panoply.counters.accepted == 0


async def test_the_queues_url_and_attributes_can_be_asked(sandbox: Sandbox) -> None:
    name = sandbox.panoply.queue_url.rpartition("/")[2]
    async with sqs_client(sandbox) as client:
        answer = await client.get_queue_url(QueueName=name)
        assert answer["QueueUrl"] == sandbox.panoply.queue_url
        known = await client.get_queue_attributes(QueueUrl=answer["QueueUrl"], AttributeNames=["All"])
        assert known["Attributes"]["MaximumMessageSize"] == "262144"
        assert known["Attributes"]["QueueArn"].endswith(f":{name}")
        with pytest.raises(client.exceptions.QueueDoesNotExist):
            await client.get_queue_url(QueueName="nobody")


async def test_an_unknown_queue_is_the_clients_own_exception(sandbox: Sandbox) -> None:
    async with sqs_client(sandbox) as client:
        with pytest.raises(client.exceptions.QueueDoesNotExist) as caught:
            await client.send_message(QueueUrl=f"{sandbox.url}/123456789012/sdk-x-y", MessageBody="x")
    error = caught.value.response["Error"]
    assert (error["Code"], error["Type"]) == ("AWS.SimpleQueueService.NonExistentQueue", "Sender")


async def test_faults_reach_a_real_client(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", status=503), Fault("wrong_digest"))
    async with sqs_client(sandbox) as client:
        with pytest.raises(ClientError) as caught:
            await client.send_message(QueueUrl=sandbox.panoply.queue_url, MessageBody="x")
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
        answer = await client.send_message(QueueUrl=sandbox.panoply.queue_url, MessageBody="x")
    assert answer["MD5OfMessageBody"] != "9dd4e461268c8034f5c8564e155c67a6"
