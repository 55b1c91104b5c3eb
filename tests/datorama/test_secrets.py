"""The token goes into one header and nowhere else: no log, error, cause, repr, event or file has it."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from helpers import virtual
from loopback import Loopback, Reply, saying
from secrecy import assert_silent, chain, everything_logged, locals_of_ours, ours

from asyncconn import Hub, errors
from asyncconn.core.polling import PollPolicy
from asyncconn.core.retrying import ONCE
from asyncconn.datorama import Datorama
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault
from asyncconn.settings import load

from .scene import QUICK, STREAM, WORKSPACE, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

TOKEN = "dato-api-5f0e6a52/1f6b+4c83-9c6e-5a2f6f0d1c11"  # made up; what a URL or a text must escape is in it
QUERY = {"workspaceId": WORKSPACE, "dateRange": "YESTERDAY", "dimensions": ["Day"]}


def forms_of(*tokens: str) -> set[str]:
    """Every text that would give something away: a token in any spelling, or a good part of one."""
    found: set[str] = set()
    for token in tokens:
        found |= {token, quote(token), quote(token, safe=""), token.replace("/", "\\/")}
        found |= {token[start : start + 12] for start in range(len("dato-api-"), len(token) - 11)}
    return found


def all_of(error: BaseException | None) -> list[str]:
    """What an error and everything behind it can show, contexts that are not printed included."""
    shown: list[str] = []
    for one in chain(error):
        shown += [str(one), repr(one), str(vars(one)), *traceback.format_exception(one)]
    return shown


CALLS: list[Callable[[Datorama], Awaitable[Any]]] = [
    lambda d: d.workspaces.list().collect(),
    lambda d: d.streams.list(WORKSPACE).collect(),
    lambda d: d.streams.get(STREAM),
    lambda d: d.streams.process(STREAM, "2026-01-01", "2026-01-02"),
    lambda d: d.jobs.list(STREAM).collect(),
    lambda d: d.query(QUERY),
    lambda d: d.queries.batch([QUERY]),
    lambda d: d.reports.list(WORKSPACE).collect(),
]
SCRIPT = [
    Fault("drop_before"),
    Fault("drop_after"),
    Fault("half_body"),
    Fault("malformed"),
    Fault("html_200"),
    Fault("errors_200"),
    Fault("stall"),
    Fault("status", status=302, location="/elsewhere"),
    *[Fault("status", status=status) for status in (400, 401, 403, 404, 422, 500, 503)],
    Fault("status", status=429, retry_after=1),
    Fault("quota_zero"),
]


@pytest.mark.parametrize("tokens", [1, 2])
@virtual
async def test_a_session_full_of_mishaps_gives_nothing_away(clock: VirtualClock, tokens: int, tmp_path: Path) -> None:
    shown: list[str] = []
    failures: list[errors.AsyncConnError] = []
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 0.0
    file = tmp_path / "quota.json"
    with everything_logged() as written:
        async with scene(DatoramaWorld(tokens=tokens, token_prefix="dato-api-"), clock=clock) as there:
            forms = forms_of(*there.platform.tokens)
            datorama = there.client(quota_store=file, timeouts=Timeouts(connect=1.0, total=0.2))
            for transport in datorama.pool.transports:
                for name in ("attempt", "retry"):
                    transport.events.on(name, lambda data: shown.append(f"{data!r} {data}"))
            results: list[Any] = []
            for fault in SCRIPT:
                for call in CALLS:
                    there.sandbox.faults.clear()
                    there.fault(fault)
                    try:
                        results.append(await call(datorama))
                    except errors.AsyncConnError as error:
                        failures.append(error)
            with contextlib.suppress(errors.AsyncConnError):
                await datorama.streams.get(STREAM)
            shown += [repr(datorama.rates), repr(there.hub), repr(datorama), repr(datorama.pool)]
            objects = ours(datorama, there.hub, *failures, *results)
            report = await there.hub.aclose()
            shown += [repr(report)]
    kinds = {type(value).__name__ for value in objects}
    assert {"Datorama", "TokenPool", "Transport", "HeaderKey", "Redactor", "RateLimiter", "DataStream", "Job"} <= kinds
    assert {"Unauthorized", "DatoramaProtocolError", "QuotaExhausted", "ConnectionLost"} <= {
        type(failure).__name__ for failure in failures
    }
    for value in objects:
        shown += [repr(value), str(value)]
    for failure in failures:
        shown += all_of(failure)
    logged = written.getvalue()
    assert "asyncconn.http DEBUG datorama GET /v1/workspaces -> 200" in logged
    assert_silent(logged, forms, "log")
    assert_silent("\n".join(shown), forms, "shown")
    assert_silent(file.read_text(), forms, "quota file")


ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
ECHOES = [
    Reply(400, f'{{"msg": "bad token {TOKEN}"}}'.encode()),
    Reply(400, f'{{"errors": [{{"token": "{TOKEN}"}}], "validationError": "{TOKEN}"}}'.encode()),
    Reply(403, f'{{"info": "{ESCAPED}"}}'.encode()),
    Reply(401, f"token {TOKEN} is not known".encode(), {"Content-Type": "text/plain"}),
    Reply(500, f"<html>{TOKEN}</html>".encode(), {"Content-Type": "text/html"}),
    Reply(404, (("x" * 290) + TOKEN).encode(), {"Content-Type": "text/plain"}),
    Reply(422, f'{{"errors": ["{TOKEN}"]}}'.encode()),
    Reply(200, f"<html>{TOKEN}</html>".encode(), {"Content-Type": "text/html"}),
    Reply(200, f'{{"id": "{TOKEN}'.encode()),
    Reply(200, f'{{"id": "{TOKEN}", "name": "{TOKEN}"}}'.encode()),
    Reply(200, f'["{TOKEN}"]'.encode()),
    Reply(200, f'{{"queryResponseData": null, "errors": ["{"x" * 280} {TOKEN}", "{ESCAPED}"]}}'.encode()),
    Reply(200, f'{{"queryResponseData": null, "errors": {{"token": "{TOKEN}"}}}}'.encode()),
    Reply(302, b"", {"Location": f"/elsewhere?token={quote(TOKEN)}"}),
    Reply(429, b"", {"X-RateLimit-Reset": TOKEN}),
    Reply(raw=f"220 {TOKEN} ESMTP\r\n\r\n".encode(), close=True),
    Reply(raw=f"HTTP/1.1 200 OK\r\n{TOKEN}\r\n\r\n".encode(), close=True),
]


@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("call", [lambda d: d.streams.get(STREAM), lambda d: d.query(QUERY)], ids=["get", "query"])
async def test_a_server_that_echoes_the_token_does_not_get_it_into_errors_or_logs(echo: Reply, call: Any) -> None:
    with everything_logged() as written:
        async with Loopback(echo) as server, Datorama(TOKEN, base_url=server.url, retry=ONCE) as datorama:
            with pytest.raises(errors.AsyncConnError) as caught:
                await call(datorama)
    assert_silent("\n".join(all_of(caught.value)), forms_of(TOKEN), "error")
    ours_only = [line for line in written.getvalue().splitlines() if line.startswith("asyncconn")]
    assert_silent("\n".join([*ours_only, "-"]), forms_of(TOKEN), "log")


async def test_a_report_whose_reason_echoes_the_token_does_not_say_it() -> None:
    failed = saying({"id": 1, "status": "FAILURE", "statusReason": f"token {TOKEN} expired"})
    async with Loopback(failed) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(errors.OperationFailed, match=r"token \*\*\* expired") as caught:
            await datorama.reports.wait(1, policy=PollPolicy(minimum=0.01))
    assert_silent(str(caught.value), forms_of(TOKEN), "error")


async def test_a_wait_that_is_over_does_not_say_the_token_that_a_state_echoes() -> None:
    running = {"id": 1, "status": "RUNNING", "statusReason": f"token {TOKEN}"}
    soon = PollPolicy(minimum=0.01, deadline=0.03)
    async with Loopback(otherwise=saying(running)) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(errors.PollTimeout, match=r"last state: .*token \*\*\*") as caught:
            await datorama.reports.wait(1, policy=soon)
    assert_silent(str(caught.value), forms_of(TOKEN), "error")


async def test_every_token_of_a_pool_is_kept_out_of_what_any_of_them_brings() -> None:
    others = ["made-up-token-number-1", "made-up-token-number-2"]
    said = saying({"queryResponseData": None, "errors": [f"{others[1]} and {others[0]}"]})
    workspaces = saying([{"id": WORKSPACE}])
    async with Loopback(workspaces, workspaces, said) as server, Datorama(others, base_url=server.url) as datorama:
        with pytest.raises(errors.Unprocessable, match=r"\*\*\* and \*\*\*"):
            await datorama.query(QUERY)


def test_settings_and_clients_do_not_print_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_DATORAMA_TOKEN", f"{TOKEN},{TOKEN[::-1]}")
    settings = load(DatoramaSettings)
    datorama = Datorama.from_env(hub=Hub(), retry=QUICK)
    shown = [repr(settings), str(settings), str(settings.model_dump()), repr(datorama), repr(vars(datorama))]
    assert_silent("\n".join(shown), forms_of(TOKEN, TOKEN[::-1]), "settings")


@pytest.mark.parametrize("token", [f"{TOKEN}\n", [TOKEN, TOKEN], [TOKEN, f" {TOKEN}"], [TOKEN, 7]])
def test_a_refused_token_is_not_quoted(token: Any) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Datorama(token)
    assert_silent("\n".join([*all_of(caught.value), *locals_of_ours(caught.value)]), forms_of(TOKEN), "error")


def test_a_setting_that_does_not_fit_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCCONN_DATORAMA_TOKEN", raising=False)
    monkeypatch.setenv("ASYNCCONN_DATORAMA_REGION", TOKEN)  # pasted into the wrong line
    with pytest.raises(errors.ConfigError) as caught:
        Datorama.from_env()
    assert_silent("\n".join(all_of(caught.value)), forms_of(TOKEN), "error")
