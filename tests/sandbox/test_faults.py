"""The fault script, and each fault as a client meets it on the wire."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncconn.errors import ConfigError
from asyncconn.sandbox import Call, DatoramaWorld, Fault, Faults, PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from .conftest import RawClient

BODY = '{"a": 1, "__table": "t"}'
CALL = Call("panoply", "POST", "/123/queue")


def rows(raw: RawClient) -> int:
    return raw.sandbox.panoply.tables().get("t", 0)


def struck(faults: Faults, calls: int, call: Call = CALL) -> str:
    """One letter a call: the first of the fault's kind, or a dot."""
    return "".join("." if (fault := faults.take(call)) is None else fault.kind[0] for _ in range(calls))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("close"), "c......."),
        (Fault("close", times=3), "ccc....."),
        (Fault("close", times=None), "cccccccc"),
        (Fault("close", after=2), "..c....."),
        (Fault("close", every=3, times=None), "..c..c.."),
        (Fault("close", every=2, after=1, times=2), "..c.c..."),
    ],
)
def test_a_fault_strikes_when_its_turn_is(fault: Fault, expected: str) -> None:
    assert struck(Faults(fault), 8) == expected


def test_faults_strike_in_the_order_of_adding_and_one_at_a_time() -> None:
    faults = Faults(Fault("delay", seconds=0.1, times=2))
    faults.add(Fault("status", status=503, times=2), Fault("close", after=5))
    assert struck(faults, 7) == "ddss.c."
    assert faults.hits == {"delay": 2, "status": 2, "close": 1}
    assert len(faults) == 0


def test_clear_forgets_the_faults_and_keeps_the_hits() -> None:
    faults = Faults(Fault("close", times=5))
    struck(faults, 2)
    faults.clear()
    assert (struck(faults, 2), faults.hits) == ("..", {"close": 2})


def test_a_fault_is_taken_back_and_its_twin_stays() -> None:
    one, twin = Fault("close", times=3), Fault("close", times=3)
    faults = Faults(one, twin)
    faults.remove(one)
    faults.remove(one)
    assert (len(faults), struck(faults, 5)) == (1, "ccc..")


@pytest.mark.parametrize(
    ("match", "strikes"),
    [
        (None, True),
        ("/123", True),
        ("/124", False),
        ("panoply", True),
        ("datorama", False),
        (lambda call: call.method == "POST", True),
        (lambda call: call.method == "GET", False),
    ],
)
def test_match_picks_the_requests(match: Any, strikes: bool) -> None:
    assert (Faults(Fault("close", match=match)).take(CALL) is not None) is strikes


def test_probability_is_kept_and_repeatable() -> None:
    one, two = (Faults(Fault("close", times=None, probability=0.3), seed=7) for _ in range(2))
    pattern = struck(one, 1000)
    assert pattern == struck(two, 1000)
    assert 250 < pattern.count("c") < 350


def test_a_platforms_own_kind_waits_for_that_platform() -> None:
    faults = Faults(Fault("wrong_digest"))
    assert faults.take(CALL) is None
    assert faults.take(CALL, frozenset({"wrong_digest"})) is not None


VAIN = [
    ("close match=dataroma", r"match='dataroma' is no world of this sandbox; give .*datorama, panoply"),
    ("inner_500", r"kind='inner_500' is played by no world of this sandbox"),
    ("errors_200 match=panoply", r"kind='errors_200' is not played by panoply, but by datorama"),
    ("wrong_digest match=-", r"kind='wrong_digest' is not played by -, but by panoply"),
]


@pytest.mark.parametrize(("text", "words"), VAIN)
async def test_a_fault_that_can_strike_nothing_is_refused_wherever_it_meets_the_worlds(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"fault: {words}"):
        await Sandbox(DatoramaWorld(), PanoplyWorld(), faults=text).__aenter__()
    [vain] = [entry.fault for entry in Faults.parse(text).planned]
    async with Sandbox(DatoramaWorld(), PanoplyWorld()) as sandbox:
        with pytest.raises(ConfigError, match=f"fault: {words}"):
            sandbox.faults.add(Fault("close"), vain)
        assert not sandbox.faults.planned


async def test_a_fault_that_can_strike_is_taken() -> None:
    worlds = "close match=datorama, close match=atoti-session, close match=atoti-limits, close match=-"
    kinds = "errors_200, errors_200 match=datorama, inner_500 match=/api, html_200 match=tcup"
    faults = Faults.parse(f"{worlds}, {kinds}")
    faults.add(Fault("wrong_digest", match=lambda call: call.method == "POST"))
    async with Sandbox(faults=faults) as sandbox:
        sandbox.faults.add(*(entry.fault for entry in faults.planned))
        assert len(sandbox.faults) == 18


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("explode", {}, "kind"),
        ("delay", {}, "seconds"),
        ("delay", {"seconds": -1}, "seconds"),
        ("stall", {"seconds": float("inf")}, "seconds"),
        ("close", {"seconds": 1}, "seconds"),
        ("status", {}, "status"),
        ("status", {"status": 199}, "status"),
        ("status", {"status": 600}, "status"),
        ("status", {"status": "503"}, "status"),
        ("status", {"status": 429, "retry_after": -1}, "retry_after"),
        ("status", {"status": 302, "location": "a\r\nb: c"}, "location"),
        ("close", {"status": 500}, "status"),
        ("close", {"retry_after": 1}, "retry_after"),
        ("close", {"times": 0}, "times"),
        ("close", {"times": True}, "times"),
        ("close", {"after": -1}, "after"),
        ("close", {"every": 0}, "every"),
        ("close", {"probability": 0}, "probability"),
        ("close", {"probability": 1.1}, "probability"),
        ("close", {"match": ""}, "match"),
    ],
)
def test_a_fault_that_cannot_be_names_the_field(kind: str, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"fault: {named}="):
        Fault(kind, **fields)


def test_a_script_is_read_from_one_line() -> None:
    faults = Faults.parse(" delay:0.5*3, status:429*all retry_after=1.5 match=/1 after=2,, drop_after probability=0.5")
    assert [entry.fault for entry in faults.planned] == [
        Fault("delay", seconds=0.5, times=3),
        Fault("status", status=429, times=None, retry_after=1.5, match="/1", after=2),
        Fault("drop_after", probability=0.5),
    ]
    assert len(Faults.parse("")) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("explode", r"kind='explode'.*in 'explode'"),
        ("delay:soon", r"seconds='soon' is not a number"),
        ("status:x", r"status='x' is not a whole number"),
        ("close*many", r"times='many'"),
        ("close, close wrong=1", r"'wrong=1'.*in 'close wrong=1'"),
        ("close every", r"'every' is not name=value"),
        ("close*2 times=3", r"times is given twice"),
    ],
)
def test_a_script_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Faults.parse(text)


async def test_a_script_may_be_given_to_the_sandbox_as_text() -> None:
    async with Sandbox(faults="status:503*2") as sandbox:
        assert len(sandbox.faults) == 1


# -- on the wire ------------------------------------------------------------------------------------


async def test_delay_processes_and_answers_later(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("delay", seconds=0.2))
    loop = asyncio.get_running_loop()
    started = loop.time()
    reply = await raw.send(BODY)
    assert (reply.status, rows(raw)) == (200, 1)
    assert loop.time() - started >= 0.2


@pytest.mark.parametrize(("kind", "landed"), [("drop_before", 0), ("drop_after", 1)])
async def test_drop_closes_the_socket_without_an_answer(raw: RawClient, kind: str, landed: int) -> None:
    raw.sandbox.faults.add(Fault(kind))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await raw.send(BODY)
    assert rows(raw) == landed
    assert raw.sandbox.faults.hits == {kind: 1}
    assert (await raw.send(BODY)).status == 200


@pytest.mark.parametrize("status", [200, 204, 302, 304, 400, 429, 500, 503, 599])
async def test_status_answers_without_processing(raw: RawClient, status: int) -> None:
    raw.sandbox.faults.add(Fault("status", status=status, retry_after=2, location="/elsewhere"))
    reply = await raw.send(BODY)
    assert (reply.status, rows(raw)) == (status, 0)
    assert (reply.headers["Retry-After"], reply.headers["Location"]) == ("2", "/elsewhere")
    assert raw.sandbox.panoply.counters.requests == 0


async def test_status_speaks_the_platforms_language(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("status", status=503))
    assert "<Code>ServiceUnavailable</Code>" in (await raw.send(BODY)).text


async def test_half_body_breaks_off_after_processing(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("half_body"))
    url = raw.sandbox.panoply.queue_url
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with raw.session.post(url, data=b"Action=SendMessage&MessageBody=x", headers=headers) as response:
        assert response.status == 200
        got = b""
        try:
            async for chunk in response.content.iter_any():
                got += chunk
        except aiohttp.ClientPayloadError:
            pass
        else:
            pytest.fail("the body came to its end")
    assert got.startswith(b"<?xml")
    assert len(got) == int(response.headers["Content-Length"]) // 2
    assert raw.sandbox.panoply.counters.accepted == 1


@pytest.mark.parametrize(("kind", "landed"), [("stall", 0), ("stall_after", 1)])
async def test_stall_never_answers(raw: RawClient, kind: str, landed: int) -> None:
    raw.sandbox.faults.add(Fault(kind))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await raw.send(BODY)
    assert rows(raw) == landed


async def test_stall_with_seconds_hangs_up_after_them(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("stall", seconds=0.1))
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await raw.send(BODY)
    assert loop.time() - started >= 0.1


async def test_close_answers_well_and_then_closes_unannounced(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("close"))
    host, port = raw.sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()  # to the end: the server closed a keep-alive connection
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 405")
    assert b"onnection: close" not in answer
    assert answer.endswith(b"</ErrorResponse>")


async def test_without_a_fault_the_connection_stays_open(raw: RawClient) -> None:
    host, port = raw.sandbox.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"</ErrorResponse>")
    writer.close()
    await writer.wait_closed()


async def test_malformed_is_a_200_that_is_neither_xml_nor_json(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("malformed"))
    reply = await raw.send(BODY)
    assert (reply.status, rows(raw)) == (200, 1)
    assert reply.headers["Content-Type"].startswith("text/xml")
    assert not reply.text.startswith(("<", "{", "["))


async def test_wrong_digest_is_wrong_for_body_and_attributes(raw: RawClient) -> None:
    good = await raw.send(BODY)
    raw.sandbox.faults.add(Fault("wrong_digest"))
    bad = await raw.send(BODY)
    digest = hashlib.md5(BODY.encode(), usedforsecurity=False).hexdigest()
    assert (bad.status, rows(raw)) == (200, 2)
    assert digest in good.text
    assert digest not in bad.text
    of_attributes = good.text.partition("<MD5OfMessageAttributes>")[2][:32]
    assert len(of_attributes) == 32
    assert of_attributes not in bad.text


async def test_arrivals_and_requests_count_what_faults_keep_from_the_platform(raw: RawClient) -> None:
    raw.sandbox.faults.add(Fault("status", status=503))
    for _ in range(3):
        await raw.send(BODY)
    assert raw.sandbox.requests == Counter(panoply=3)
    assert raw.sandbox.panoply.counters.requests == 2
    times = [arrival.at for arrival in raw.sandbox.arrivals]
    assert (len(times), times) == (3, sorted(times))
    assert {(a.platform, a.method) for a in raw.sandbox.arrivals} == {("panoply", "POST")}
