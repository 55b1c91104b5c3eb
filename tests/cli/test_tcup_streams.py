"""``asyncconn tcup mqtt | ws | sse``: lines in, lines out, through pipes and over breaks of the connection."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from helpers import until

from asyncconn.cli.tcup import lines
from asyncconn.sandbox import StreamFault
from asyncconn.sandbox.tcup.streams import websocket
from asyncconn.sandbox.tcup.voice import Refused
from asyncconn.tcup.streams.messages import Message
from cli.commands import arun, command, ended, environment, run
from cli.tcup_scene import inside, scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cli.tcup_scene import Scene

TEST = ("-e", "ex1", "-t", "test")


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Scene]:
    """A scene with the topic exchange ``ex1``."""
    async with scene(folder) as here:
        here.world.mr.broker.create("ex1")
        yield here


@asynccontextmanager
async def piped(here: Scene, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command in a process of its own, its standard input open."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command("tcup", *args),
        cwd=here.folder,
        env=environment(here.sandbox.env),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def hearing(here: Scene, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that has subscribed."""
    async with piped(here, *args) as process:
        await until(lambda: here.world.streams.live)
        yield process


# -- MQTT --------------------------------------------------------------------------------------------------------------


async def test_lines_that_are_published_are_the_lines_that_come(tmp_path: Path) -> None:
    lines = b'{"n": 1}\r\n\nplain \xc3\xa9\n{"n": 12345678901234567890123}\nlast'
    async with stage(tmp_path) as here, hearing(here, "mqtt", "sub", "plant/#", "-n", "4") as heard:
        assert await here.done("mqtt", "pub", "plant/1", given=lines) == "4 of 4 messages acknowledged\n"
        found = await ended(heard)
    assert (found.status, found.err) == (0, "")
    assert found.out == '{"n": 1}\nplain é\n{"n": 12345678901234567890123}\nlast\n'


async def test_an_object_a_message_has_the_topic_and_whatever_the_message_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, hearing(here, "mqtt", "sub", "+/1", "-n", "4", "-f", "jsonl") as heard:
        await here.done("mqtt", "pub", "plant/1", '{"n":\n 10000000000000000000001}', "a\nb", "null")
        await here.done("mqtt", "pub", "room/1", given=b"\xff\n")
        found = await ended(heard)
    assert found.out.splitlines()[0] == '{"topic":"plant/1","json":{"n":  10000000000000000000001}}'
    assert [json.loads(line) for line in found.out.splitlines()[1:]] == [
        {"topic": "plant/1", "text": "a\nb"},
        {"topic": "plant/1", "text": "null"},
        {"topic": "room/1", "base64": "/w=="},
    ]


async def test_json_of_several_lines_comes_on_one(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, hearing(here, "mqtt", "sub", "-n", "2") as heard:
        await here.done("mqtt", "pub", "amq.topic", '{"a":\r\n"b"}', "a\nb")
        assert (await ended(heard)).out == '{"a":  "b"}\na\nb\n'


async def test_what_was_retained_comes_first_and_an_empty_message_takes_it_away(tmp_path: Path) -> None:
    sub = ("mqtt", "sub", "state", "-n", "1")
    async with stage(tmp_path) as here:
        await here.done("mqtt", "pub", "state", "on", "--retain")
        assert await here.done(*sub) == "on\n"
        await here.done("mqtt", "pub", "state", "", "--retain")
        nothing = await here(*sub, "--timeout", "3")
    assert (nothing.status, nothing.out, nothing.err) == (1, "", "error: 0 of 1 message came\n")


async def test_a_time_that_is_over_is_a_good_end_where_no_number_was_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        assert await here.done("mqtt", "sub", "--timeout", "3") == ""


async def test_a_persistent_session_hands_out_what_was_not_written(tmp_path: Path) -> None:
    sub = ("mqtt", "sub", "plant/#", "-i", "c1", "--persistent")
    async with stage(tmp_path) as here:
        await here.done(*sub, "--timeout", "3")
        await here.done("mqtt", "pub", "plant/1", given=b"1\n2\n3\n4\n5\n")
        assert await here.done(*sub, "-n", "2") == "1\n2\n"
        assert await here.done(*sub, "-n", "3") == "3\n4\n5\n"


async def test_over_a_break_nothing_is_lost_and_the_break_is_told(tmp_path: Path) -> None:
    lines = b"".join(b"%d\n" % number for number in range(300))
    async with stage(tmp_path) as here:
        sub = ("mqtt", "sub", "plant/#", "-i", "c1", "--persistent")
        await here.done(*sub, "--timeout", "3")
        here.world.streams.faults.add(StreamFault("kill", match="mqtt", after=150))
        published = await here("mqtt", "pub", "plant/1", given=lines)
        found = await here(*sub, "--timeout", "8")
    assert (published.status, published.out) == (0, "300 of 300 messages acknowledged\n")
    assert "connection lost, next attempt in" in published.err
    assert {*map(int, found.out.split())} == {*range(300)}


async def test_with_verbose_a_break_is_told_once_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.world.streams.faults.add(StreamFault("kill", match="mqtt", after=3))
        loud = await arun(tmp_path, "tcup", "mqtt", "pub", "plant/1", "-v", "1", "2", "3", "4", env=here.sandbox.env)
    assert loud.err.count("connection lost, next attempt in") == 1


@pytest.mark.parametrize("group", ["mqtt", "ws"])
async def test_a_line_goes_out_before_the_next_one_comes(tmp_path: Path, group: str) -> None:
    async with stage(tmp_path) as here:
        place = ("plant/1",) if group == "mqtt" else TEST
        exchange, topic = ("amq.topic", "plant.1") if group == "mqtt" else ("ex1", "test")
        async with piped(here, group, "pub", *place) as process:
            assert process.stdin is not None
            for number in range(2):
                process.stdin.write(b'{"n": %d}\n' % number)
                await until(lambda: len(here.world.mr.broker.routed(exchange, topic)) == number + 1)  # noqa: B023 - awaited at once
            process.stdin.close()
            end = await ended(process)
    assert (end.status, end.out, end.err) == (0, "2 of 2 messages acknowledged\n", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "args", [("mqtt", "pub", "plant/1"), ("ws", "pub", *TEST), ("mqtt", "sub"), ("sse", "-e", "ex1")]
)
async def test_a_signal_ends_it_at_once_and_cleanly(
    tmp_path: Path, number: signal.Signals, status: int, args: tuple[str, ...]
) -> None:
    """While it waits for a line, or for a message."""
    async with stage(tmp_path) as here, piped(here, *args) as process:
        assert process.stdin is not None
        process.stdin.write(b"{}\n")
        await until(lambda: here.world.streams.live)
        await until(lambda: args[1] != "pub" or here.world.mr.broker.routed(*_from(args)))
        process.send_signal(number)
        end = await ended(process)
    assert end.status == status
    assert "Traceback" not in end.err
    assert "Fatal" not in end.err
    if args[1] == "pub":
        assert (end.out, end.err) == ("1 of 1 message acknowledged\n", "error: interrupted\n")


def _from(args: tuple[str, ...]) -> tuple[str, str]:
    return ("amq.topic", "plant.1") if args[0] == "mqtt" else ("ex1", "test")


async def test_a_reader_that_has_gone_away_ends_it_without_a_word(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, hearing(here, "mqtt", "sub", "plant/#") as process:
        assert process.stdout is not None
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # there is no other way
        await here.done("mqtt", "pub", "plant/1", "1", "2")
        await asyncio.wait_for(process.wait(), 20)
        assert process.stderr is not None
        assert await process.stderr.read() == b""
    assert process.returncode == 1


async def test_a_reader_that_begins_late_is_given_every_byte(tmp_path: Path) -> None:
    big = json.dumps({"text": "x" * 20_000}).encode() + b"\n"
    sub = ("mqtt", "sub", "plant/#", "-n", "400", "-i", "c1", "--persistent")
    async with stage(tmp_path) as here, hearing(here, *sub) as process:
        await here.done("mqtt", "pub", "plant/1", given=big * 400)
        assert process.stdout is not None
        taken = await process.stdout.readexactly(len(big) * 400)
        assert await process.stdout.read() == b""
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert taken == big * 400


# -- WebSockets and server-sent events ---------------------------------------------------------------------------------


async def test_what_is_published_by_websocket_is_heard_and_viewed(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with hearing(here, "ws", "sub", *TEST, "-n", "2") as heard:
            published = await here("ws", "pub", *TEST, given=b'{"n": 1}\nno JSON\n\n{"n": 2}\n')
            assert (await ended(heard)).out == '{"n": 1}\n{"n": 2}\n'
        async with hearing(here, "sse", *TEST, "-f", "jsonl", "-n", "1") as viewed:
            await here.done("ws", "pub", *TEST, '{"n": 3}')
            [event] = map(json.loads, (await ended(viewed)).out.splitlines())
        await here.done("ws", "pub", *TEST, '{"n": 4}')
        later = await here.done("sse", *TEST, "--last-id", event["id"], "-n", "1")
    assert (published.status, published.out) == (1, "2 of 3 messages acknowledged\n")
    assert published.err.startswith("<stdin>:2: the document is no JSON: ")
    assert published.err.endswith("\nerror: 1 refused\n")
    assert (event["event"], event["topic"], event["json"]) == ("message", "test", {"n": 3})
    assert later == '{"n": 4}\n'


async def test_what_the_server_refuses_is_told_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(raw: bytes) -> Any:
        if raw == b"[]":
            raise Refused(400, "an empty list")
        return json.loads(raw)

    monkeypatch.setattr(websocket, "read_json", read)
    async with stage(tmp_path) as here:
        found = await here("ws", "pub", *TEST, given=b'{"n": 1}\n[]\n{"n": 2}\n')
        assert here.world.routed("ex1", "test") == [{"n": 1}, {"n": 2}]
    assert (found.status, found.out) == (1, "2 of 3 messages acknowledged\n")
    assert found.err == "an empty list: []\nerror: 1 refused\n"


async def test_the_feed_tells_of_observations(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await here.registered()
        async with hearing(here, "sse", "--feed", "-n", "1") as viewed:
            await here.done("observe", "ts1", "obs2=31")
            assert "ts1" in (await ended(viewed)).out


# -- what cannot work --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("mqtt", "pub", "a/#", "b"), "mqtt: 'a/#' has the wildcard #"),
        (("mqtt", "pub", "a", "b", "--qos", "2"), "mqtt: qos is 0 or 1, not 2"),
        (("mqtt", "pub", "a", "b", "--window", "0"), "--window is 1 to 1,000 messages, not 0"),
        (("mqtt", "pub", "a", "b", "--timeout", "0"), "--timeout is more than 0 seconds, not 0"),
        (("mqtt", "pub", "a", "b", "--qos", "0", "--spool", "f"), "--spool is for --qos 1"),
        (("mqtt", "sub", "a#"), "mqtt: 'a#'"),
        (("mqtt", "sub", "--qos", "2"), "mqtt: qos is 0 or 1, not 2"),
        (("mqtt", "sub", "--persistent"), "a persistent session needs a client_id"),
        (("mqtt", "sub", "--count", "0"), "--count is 1 message or more, not 0"),
        (("mqtt", "sub", "--timeout", "-1"), "--timeout is more than 0 seconds, not -1"),
        (("ws", "sub"), "name an exchange, with or without a topic, or a queue"),
        (("ws", "sub", "-e", "ex1", "--queue", "q1", "-t", "test"), "name an exchange, with or without a topic, or"),
        (("ws", "pub", "--queue", "q1", "--routing-key", "k", "{}"), "a routing_key is for a direct exchange"),
        (("sse",), "name an exchange, with or without a topic, or a queue"),
        (("sse", "--feed", "-e", "ex1"), "--feed goes without --exchange"),
    ],
)
def test_what_cannot_work_is_one_line_and_nothing_is_connected(
    tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    nowhere = {"URL": "http://127.0.0.1:1", "API_KEY": "made-up-key", "MQTT_HOST": "127.0.0.1", "MQTT_PORT": "1"}
    found = inside(tmp_path, *args, env={f"ASYNCCONN_TCUP_{name}": value for name, value in nowhere.items()})
    assert (found.status, found.out) == (2, ""), found.text
    assert said in found.err
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1


def test_without_a_broker_one_line_names_the_setting(tmp_path: Path) -> None:
    env = {"ASYNCCONN_TCUP_URL": "http://127.0.0.1:1", "ASYNCCONN_TCUP_API_KEY": "made-up-key"}
    found = run(tmp_path, "tcup", "mqtt", "sub", env=env)
    assert (found.status, found.out, found.err.count("\n")) == (2, "", 1)
    assert "mqtt" in found.err


async def test_a_message_over_the_limit_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = b"small\n" + b"x" * 16_777_217 + b"\nlast\n"
    async with stage(tmp_path) as here:
        found = await here("mqtt", "pub", "plant/1", given=lines)
        assert here.world.mr.broker.routed("amq.topic", "plant.1") == [b"small", b"last"]
    assert (found.status, found.out) == (1, "2 of 3 messages acknowledged\n")
    assert found.err.startswith("<stdin>:2: a payload of 16,777,217 bytes is over the limit of 16,777,216")
    assert found.err.endswith("\nerror: 1 refused\n")


@pytest.mark.parametrize("group", ["mqtt", "ws"])
async def test_a_spool_keeps_what_has_no_connection_and_the_next_run_sends_it(tmp_path: Path, group: str) -> None:
    place, topic = (("plant/1",), ("amq.topic", "plant.1")) if group == "mqtt" else (TEST, ("ex1", "test"))
    pub = (group, "pub", *place, "--spool", "outbox.spool")
    nowhere = {"ASYNCCONN_TCUP_MQTT_PORT": "1", "ASYNCCONN_TCUP_URL": "http://127.0.0.1:1"}
    async with stage(tmp_path) as here:
        offline = await here(*pub, env=nowhere, given=b'{"n": 1}\n{"n": 2}\n')
        assert here.world.mr.broker.routed(*topic) == []
        assert await here.done(*pub, given=b'{"n": 3}\n') == "3 of 3 messages acknowledged\n"
        assert [message["n"] for message in here.world.mr.broker.routed(*topic)] == [1, 2, 3]
    assert offline.status == 0
    assert offline.out == "0 of 2 messages acknowledged\n2 kept in the spool, for the next run with it\n"
    assert "error: " not in offline.err


@pytest.mark.parametrize("args", [("mqtt", "pub", "a", "b"), ("mqtt", "sub")])
async def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path, args: tuple[str, ...]) -> None:
    async with stage(tmp_path) as here:
        found = await here(*args, env={"ASYNCCONN_TCUP_MQTT_PASSWORD": "wrong-and-secret"})
    assert found.status == 1
    assert "the virtual host, the user or the password is wrong" in found.err
    assert "wrong-and-secret" not in found.text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("mqtt", "pub", "a", "b", "--timeout", "0.5"), "error: 1 not sent\n"),
        (("mqtt", "sub", "--timeout", "0.5"), "error: there was no connection in time\n"),
    ],
)
async def test_a_broker_that_is_not_there_is_told_in_time(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    async with stage(tmp_path) as here:
        found = await here(*args, env={"ASYNCCONN_TCUP_MQTT_PORT": "1"})
    assert found.status == 1
    assert "connection lost, next attempt in" in found.err
    assert found.err.endswith(said)


@pytest.mark.parametrize(
    "args", [("ws", "pub", "-e", "no", "-t", "a", "{}"), ("ws", "sub", "-e", "no"), ("sse", "-e", "no")]
)
async def test_an_exchange_that_is_not_there_is_one_line(tmp_path: Path, args: tuple[str, ...]) -> None:
    async with stage(tmp_path) as here:
        found = await here(*args)
    assert (found.status, found.out) == (1, "")
    assert found.err.startswith("error: tcup answered 404 there is no topic exchange no")
    assert found.err.count("\n") == 1


def test_a_terminal_is_shown_nothing_that_could_move_its_cursor(tmp_path: Path, monkeypatch: Any) -> None:
    class Terminal:
        """What a screen would be given."""

        shown = b""

        def write(self, data: memoryview) -> int:
            self.shown += bytes(data[:3])
            return min(3, len(data))

    class Standard:
        buffer = Terminal()
        flush = staticmethod(lambda: None)
        isatty = staticmethod(lambda: True)

    async def pour() -> None:
        out = lines._StandardOutput(lines.Shape.LINES)
        await out.write([Message("a", b"50\x1b[2J %"), Message("a", b"\xff")])
        out.close()

    monkeypatch.setattr(sys, "stdout", Standard)
    asyncio.run(pour())
    assert Standard.buffer.shown.decode() == "50 [2J %\n\ufffd\n"
