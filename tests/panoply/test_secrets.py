"""Key and secret go to the queue and nowhere else: not into logs, errors, events or reprs, at any level."""

from __future__ import annotations

import asyncio
import base64
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from loopback import Server
from secrecy import assert_silent, chain, everything_logged, locals_of_ours, ours

from asyncconn import Hub, Panoply, errors
from asyncconn.core.retrying import ONCE
from asyncconn.http.transport import Timeouts
from asyncconn.panoply.sdk import SDK
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.sandbox import Fault
from asyncconn.settings import load

from .scene import QUICK
from .writer_tests import SLOW

if TYPE_CHECKING:
    from .scene import SandboxTarget

AWS = ("AKIAMADEUP0000000000", "made/up+aws/secret/key/0000000000000000")


def forms_of(key: str, secret: str) -> set[str]:
    """Every text that would give something away."""
    decoded = base64.b64decode(secret).decode()
    rand2, uuid = decoded.split("/")[:2]
    plain = {key, key.partition("/")[2], secret, secret.rstrip("="), decoded, rand2, uuid, AWS[1]}
    return {encoded for text in plain for encoded in (text, quote(text), quote(text, safe=""), quote_plus(text))}


FAULTS = [
    Fault("drop_after"),
    Fault("status", status=503),
    Fault("half_body"),
    Fault("malformed"),
    Fault("wrong_digest"),
    Fault("stall"),
    Fault("status", status=429, retry_after=0.01),
]


async def test_a_session_full_of_mishaps_gives_nothing_away(target: SandboxTarget) -> None:
    aws = AWS if target.sender == "sqs" else None
    forms = forms_of(*target.credentials)
    shown: list[str] = []
    failures: list[errors.DeliveryFailed] = []
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 0.0
    with everything_logged() as written:
        panoply = target.panoply(policy=SLOW, timeouts=Timeouts(connect=0.3, total=0.3), aws_credentials=aws)
        panoply.on("*", lambda name, data: shown.append(f"{name} {data!r} {data}"))
        panoply.on("error", failures.append)
        for name in ("attempt", "retry"):
            panoply.http.events.on(name, lambda data: shown.append(f"{data!r} {data}"))
        for number, fault in enumerate(FAULTS):
            target.sandbox.faults.add(fault)
            await panoply.write("t", {"id": number})
            await panoply.flush()
        for status in (302, 400, 403, 500, 500, 500, 500):
            target.sandbox.faults.add(Fault("status", status=status, location="/elsewhere" if status == 302 else None))
        for number in range(4):
            await panoply.write("t", {"id": number})
            shown += [repr(await panoply.flush()), str(panoply.stats), repr(target.hub), repr(panoply)]
        objects = ours(panoply, target.hub, *failures)
        report = await target.hub.aclose()
        shown += [repr(report), str(report)]
    assert len(failures) == 4
    kinds = {type(value).__name__ for value in objects}
    assert {"Panoply", "Hub", "Transport", "BatchBuffer", "Redactor", "DeliveryFailed"} <= kinds
    for value in objects:
        shown += [repr(value), str(value)]
    for failure in failures:
        shown += [*traceback.format_exception(failure), *locals_of_ours(failure)]
        shown += [f"{one} {one!r} {vars(one)!r}" for one in chain(failure)]
        for error in (failure, failure.__cause__):
            shown += [repr(error), str(error), str(vars(error)) if error else ""]
    logged = written.getvalue()
    assert "asyncconn" in logged
    assert target.sender == "form" or "botocore.endpoint DEBUG Making request" in logged
    assert_silent(logged, forms, "log")
    assert_silent("\n".join(shown), forms, "shown")


def answering(answer: bytes) -> Server:
    """A server that answers every request like this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return Server(serve)


def http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


async def test_a_server_that_echoes_the_secrets_does_not_get_them_into_errors_or_logs(target: SandboxTarget) -> None:
    key, secret = target.credentials
    forms = forms_of(key, secret)
    rand2 = base64.b64decode(secret).decode().partition("/")[0]
    echoes = [
        f"<ErrorResponse><Error><Code>No</Code><Message>{quote(key, safe='')} {secret} {rand2}</Message></Error>"
        "</ErrorResponse>",
        f'{{"__type": "com.amazonaws.sqs#No", "message": "{key} {secret}"}}',
        f"sdk-x-{rand2} {key}",
    ]
    shown: list[str] = []
    for echo in echoes:
        async with answering(http("400 Bad Request", echo)) as server:
            panoply = target.panoply(endpoint_url=server.url, policy=SLOW, retry=ONCE)
            await panoply.write("t", {"id": 1})
            [failure] = (await panoply.flush()).failures
            cause = failure.__cause__
            assert isinstance(cause, errors.AsyncConnError)
            shown += [str(failure), str(cause), repr(cause), str(vars(cause)), getattr(cause, "body", "")]
            shown += [*traceback.format_exception(failure), *locals_of_ours(failure)]
            shown += [f"{one} {one!r} {vars(one)!r}" for one in chain(failure)]
            await panoply.aclose()
    assert_silent("\n".join(shown), forms, "shown")


async def test_an_answer_that_is_not_http_gives_nothing_away_in_its_message(target: SandboxTarget) -> None:
    async with answering(b"220 mail.example ESMTP\r\n\r\n") as server:
        panoply = target.panoply(endpoint_url=server.url, policy=SLOW, retry=ONCE)
        await panoply.write("t", {"id": 1})
        [failure] = (await panoply.flush()).failures
        await panoply.aclose()
    assert isinstance(failure.__cause__, errors.ProtocolError | errors.ConnectionLost)
    shown = "".join([*traceback.format_exception(failure), *locals_of_ours(failure)])
    assert_silent(shown, forms_of(*target.credentials), "traceback")


@pytest.mark.parametrize("part", [0, 1], ids=["the key", "the secret"])
@pytest.mark.parametrize("make", [Panoply, SDK], ids=["Panoply", "SDK"])
@pytest.mark.parametrize("wrong", ["{}\n", "/{}", "{}é", "{}%"])
def test_a_credential_that_is_refused_is_in_no_frame(make: Any, part: int, wrong: str) -> None:
    pair = ["acme/k1r4nd0mr4nd0m01", base64.b64encode(b"r4nd2r4nd2r4nd22/3f2b8c1e-uuid").decode()]
    pair[part] = wrong.format(pair[part])
    with pytest.raises(errors.ConfigError) as caught:
        make(*pair)

    shown = "\n".join(locals_of_ours(caught.value))
    assert_silent(shown, {"k1r4nd0mr4nd0m01", "r4nd2r4nd2", "cjRuZDJ"}, "frames")


def test_settings_do_not_print_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = (
        "acme/k1r4nd0mr4nd0m01",
        base64.b64encode(b"r4nd2r4nd2r4nd22/3f2b8c1e/123456789012/us-east-1").decode(),
    )
    monkeypatch.setenv("ASYNCCONN_PANOPLY_API_KEY", key)
    monkeypatch.setenv("ASYNCCONN_PANOPLY_API_SECRET", secret)
    settings = load(PanoplySettings)
    panoply = Panoply.from_env(hub=Hub(), retry=QUICK)
    shown = [repr(settings), str(settings), str(settings.model_dump()), repr(panoply), repr(panoply.hub)]
    assert_silent("\n".join(shown), forms_of(key, secret), "settings")
