"""``asyncconn panoply write``: all of a file, or nothing; and nothing is lost on the way out."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from asyncconn.cli.app import app
from asyncconn.panoply import FileReport
from asyncconn.panoply.encoding import decode_record
from asyncconn.sandbox import Fault, Sandbox
from cli.commands import Ended, arun, ended, run, started

if TYPE_CHECKING:
    from pathlib import Path

LARGE = "x" * 20_000  # about a dozen records in a message


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def silent(sandbox: Sandbox, end: Ended) -> bool:
    """No credential in what was said, and no control character."""
    there = sandbox.panoply
    secrets = (there.api_key, there.api_secret, there.api_key.split("/")[1], there.queue_url.rpartition("-")[2])
    return not any(secret in end.text for secret in secrets) and "\x1b" not in end.text and "\r" not in end.text


@pytest.mark.parametrize(
    ("name", "text", "options", "expected"),
    [
        ("a.csv", "id,n\n1,2.5\n2,\n", (), [("1", "2.5"), ("2", "")]),
        ("a.csv", "id,n\n1,2.5\n2,\n", ("--types",), [(1, 2.5), (2, None)]),
        ("a.jsonl", '{"id": 1, "n": "€"}\n\n{"id": 2, "n": 3}\n', (), [(1, "€"), (2, 3)]),
        ("a.json", '[{"id": 1, "n": 1},\n {"id": 2, "n": 2}]', ("--sender", "sqs"), [(1, 1), (2, 2)]),
        ("a.txt", '{"id": 1, "n": 1}\n{"id": 2, "n": 2}\n', (), [(1, 1), (2, 2)]),
        ("a.csv", '{"key": 1, "n": 1}\n{"key": 2, "n": 2}\n', ("--format", "jsonl", "--id", "key"), [(1, 1), (2, 2)]),
    ],
    ids=["csv", "typed csv", "jsonl", "json by aws", "no ending", "id"],
)
async def test_a_file_lands_as_it_is(
    tmp_path: Path, name: str, text: str, options: tuple[str, ...], expected: list[Any]
) -> None:
    (tmp_path / name).write_text(text)
    async with Sandbox() as sandbox:
        end = await arun(tmp_path, "panoply", "write", name, "--table", "t", *options, env=sandbox.env)
        assert end.status == 0, end.text
        assert [(row["id"], row["n"]) for row in sandbox.panoply.sql("select * from t order by id")] == expected
        assert silent(sandbox, end)
    assert end.out.startswith("2 of 2 records delivered to 't' (1 message, ")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "data", "options", "said"),
    [
        ("a.csv", b"id,n\n1,2\n", (), ""),
        ("a.csv", b"id;n\n1;2\n", (), "a.csv: read as CSV, columns separated by ';'\n"),
        ("a.tsv", b"id\tn\n1\t2\n", (), "a.tsv: read as CSV, columns separated by tabs\n"),
        ("a.csv", b"id;n\n1;2\n", ("--delimiter", ";"), "a.csv: read as CSV, columns separated by ';'\n"),
        ("a.csv", "id,n\n1,é\n".encode("cp1252"), ("--encoding", "cp1252"), "a.csv: read as CSV, cp1252\n"),
        ("a.csv.gz", gzip.compress(b"id,n\n1,2\n", mtime=0), (), "a.csv.gz: read as CSV, gzip\n"),
        ("a.jsonl.gz", gzip.compress(b'{"id": 1}\n', mtime=0), (), "a.jsonl.gz: read as JSON lines, gzip\n"),
        ("a.json", '[{"id": 1}]'.encode("utf-16"), (), "a.json: read as JSON, UTF-16\n"),
        ("-", gzip.compress(b"id;n\n1;2\n", mtime=0), (), "<stdin>: read as CSV, gzip, columns separated by ';'\n"),
    ],
)
def test_how_a_file_is_read_is_said_unless_it_is_ordinary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name != "-":
        (tmp_path / name).write_bytes(data)
    args = ["panoply", "write", name, "--table", "t", "--dry-run", *options]
    end = CliRunner().invoke(app, args, input=data if name == "-" else None)
    assert (end.exit_code, end.stderr) == (0, said), end.output
    assert end.stdout.startswith("1 record (")


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b"id;n\n1;2\n", ("--delimiter", ","), "a.csv:1: there is no ',' in the header"),
        (b"id;n\n1;\xe9\n", (), "a.csv:2: not UTF-8: byte 0xe9"),
        (b"id;n\n1;\xe9\n", ("--encoding", "ascii"), "a.csv:2: not ascii: byte 0xe9"),
        (b"id;n\n1;2\n", ("--delimiter", "ab"), "a delimiter is one character"),
        (b"id;n\n1;2\n", ("--encoding", "unheard-of"), "there is no encoding 'unheard-of'"),
        (gzip.compress(b"id;n\n1;2\n" * 9_999, mtime=0)[:-9], (), "the gzip file is cut off"),
    ],
)
def test_a_wrong_delimiter_or_encoding_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_bytes(data)
    end = CliRunner().invoke(app, ["panoply", "write", "a.csv", "--table", "t", "--dry-run", *options])
    assert end.exit_code == 2
    assert said in " ".join(end.stderr.replace("│", " ").split())


async def test_what_is_saved_for_another_try_has_all_its_digits(tmp_path: Path) -> None:
    text = '{"amount":12345678901234567.89,"id":123456789012345678901234567890,"small":1E-400}'
    record = decode_record(text.encode())
    report = FileReport(1, 1, 0, 0, 0, undelivered=[record])
    saved = await report.save(tmp_path / "undelivered.jsonl")
    assert saved.read_text() == text + "\n"


async def test_standard_input_is_read(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        given = lines([{"id": number} for number in range(5000)]).encode()
        end = await arun(tmp_path, "panoply", "write", "-", "-t", "t", env=sandbox.env, given=given)
        assert end.status == 0, end.text
        assert sandbox.panoply.tables() == {"t": 5000}


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n{"a" 3}\n', (), "a.jsonl:3: not JSON: Expecting ':' delimiter at column 6"),
        ("a.jsonl", b'{"a": 1}\n[2]\n', (), "a.jsonl:2: a record must be a JSON object"),
        ("a.csv", b"a,b\n1,2\n3\n", (), "a.csv:3: 1 value for 2 columns"),
        ("a.csv", b"a,a\n1,2\n", (), "a.csv:1: two columns are named 'a'"),
        ("a.json", b'[{"a": 1},\n {"a": "\xff"}]', (), "a.json:2: not UTF-8: byte 0xff at byte 19"),
        ("a.jsonl", b'{"a": 1}\n{"a": "' + b"x" * 262_144 + b'"}\n', (), "a.jsonl:2: the record takes 262,"),
        ("a.jsonl", b'{"a": 1}\n{"__table": "u"}\n', (), "a.jsonl:2: '__table' is not for records"),
        ("a.csv", b"k,a\nx,1\ny,2\nx,3\n", ("--id", "k"), "a.csv:4: the id 'x' is that of line 2 too"),
        ("a.csv", b"k,a\nx,1\n,2\n", ("--id", "k"), "a.csv:3: 'k' is empty"),
        ("a.csv", b"a\n1\n", ("--id", "k"), "a.csv:2: there is no 'k'"),
        ("a.csv", b"id,k\n1,2\n", ("--id", "k"), "a.csv:2: it has an 'id' already"),
        ("a.jsonl", b'{"k": [1]}\n', ("--id", "k"), "a.jsonl:1: the id in 'k' is neither"),
        ("-", b'{"a": 1}\n{"a": }\n', (), "<stdin>:2: not JSON: Expecting value at column 7"),
    ],
)
def test_every_fault_of_the_input_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: bytes, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name != "-":
        (tmp_path / name).write_bytes(text)
    args = ["panoply", "write", name, "--table", "t", "--dry-run", *options]
    end = CliRunner().invoke(app, args, input=text if name == "-" else None)
    assert end.exit_code == 2
    assert end.stderr.startswith(said)
    assert end.stderr.count("\n") == 2
    assert end.stderr.endswith("nothing was sent\n")
    assert end.stdout == ""


@pytest.mark.parametrize("name", ["a.jsonl", "-"])
async def test_one_bad_line_and_nothing_at_all_is_sent(tmp_path: Path, name: str) -> None:
    given = b'{"a": 1}\n' * 20_000 + b'{"a" 1}\n'
    (tmp_path / "a.jsonl").write_bytes(given)
    async with Sandbox() as sandbox:
        end = await arun(tmp_path, "panoply", "write", name, "--table", "t", env=sandbox.env, given=given)
        assert not sandbox.requests
        assert silent(sandbox, end)
    assert end.status == 2
    assert ":20001: not JSON: Expecting ':' delimiter at column 6" in end.err
    assert end.err.endswith("nothing was sent\n")
    assert end.out == ""


def test_many_problems_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x\n" * 100)
    end = run(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", "--dry-run")
    assert end.status == 2
    assert end.err.count("a.jsonl:") == 20
    assert "100 problems in a.jsonl, 80 of them not shown; nothing was sent" in end.err


def test_a_dry_run_needs_no_credentials(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    end = run(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", "--dry-run")
    assert end == Ended(0, "1 record (23 bytes) would go to 't'; none was sent\n", "")


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (("a.jsonl", "-t", "t"), 2, "error: set ASYNCCONN_PANOPLY_API_KEY and ASYNCCONN_PANOPLY_API_SECRET (Panoply"),
        (("none.jsonl", "-t", "t", "--dry-run"), 2, "error: none.jsonl: No such file or directory"),
        ((".", "-t", "t", "--dry-run"), 2, "error: .: Is a directory"),
        (("a.jsonl", "-t", "", "--dry-run"), 2, "the table name is empty"),
        (("a.jsonl",), 2, "--table"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, args: tuple[str, ...], status: int, said: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    end = run(tmp_path, "panoply", "write", *args)
    assert end.status == status
    assert said in end.err
    assert "Traceback" not in end.err


async def test_undelivered_records_are_saved_and_what_was_saved_can_be_written_again(tmp_path: Path) -> None:
    records = [{"id": number, "text": LARGE} for number in range(100)]
    (tmp_path / "a.jsonl").write_text(lines(records))
    (tmp_path / "undelivered.jsonl").write_text("an earlier one\n")
    async with Sandbox(faults=[Fault("status", status=400, after=2)]) as sandbox:
        end = await arun(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", env=sandbox.env)
        assert end.status == 1, end.text
        landed = {row["id"] for row in sandbox.panoply.sql("select id from t")}
        saved = [json.loads(line) for line in (tmp_path / "undelivered-2.jsonl").read_text().splitlines()]
        assert 0 < len(landed) < 100
        assert f"{len(landed)} of 100 records delivered" in end.out
        assert f"{len(saved)} records not delivered; saved to undelivered-2.jsonl" in end.err
        assert [record for record in records if record["id"] not in landed] == saved
        assert silent(sandbox, end)
        again = await arun(tmp_path, "panoply", "write", "undelivered-2.jsonl", "-t", "t", env=sandbox.env)
        assert again.status == 0, again.text
        assert sandbox.panoply.tables() == {"t": 100}
    assert (tmp_path / "undelivered.jsonl").read_text() == "an earlier one\n"


async def test_the_first_failure_ends_the_sending_and_the_rest_is_saved_too(tmp_path: Path) -> None:
    records = [{"id": number, "text": LARGE} for number in range(1000)]
    (tmp_path / "a.jsonl").write_text(lines(records))
    async with Sandbox(faults="status:400*all") as sandbox:
        args = ("panoply", "write", "a.jsonl", "-t", "t", "--save-failed", "rest.jsonl")
        end = await arun(tmp_path, *args, env=sandbox.env)
        assert sandbox.panoply.tables() == {}
        assert sandbox.requests["panoply"] < 60  # of 84 messages
    assert end.status == 1
    saved = [json.loads(line)["id"] for line in (tmp_path / "rest.jsonl").read_text().splitlines()]
    assert sorted(saved) == list(range(1000))
    assert "1,000 records not delivered; saved to rest.jsonl" in end.err
    assert stat.S_IMODE((tmp_path / "rest.jsonl").stat().st_mode) == 0o600


async def test_a_server_that_is_not_there_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    async with Sandbox() as sandbox:
        env = sandbox.env
    end = await arun(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", env=env)
    assert end.status == 1
    assert "ConnectFailed" in end.err
    assert json.loads((tmp_path / "undelivered.jsonl").read_text()) == {"id": 1}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_delivers_what_was_accepted_and_says_where_it_stopped(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    (tmp_path / "a.jsonl").write_text(lines([{"id": n, "text": LARGE} for n in range(1500)]))
    async with Sandbox(faults="delay:0.15*all") as sandbox:
        async with started(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", env=sandbox.env) as process:
            async with asyncio.timeout(10):
                while sandbox.panoply.counters.accepted < 8:
                    await asyncio.sleep(0.02)
            process.send_signal(number)
            end = await ended(process)
        landed = [row["id"] for row in sandbox.panoply.sql("select id from t order by id")]
        assert silent(sandbox, end)
    assert end.status == status, end.text
    accepted = len(landed)
    assert 96 < accepted < 1500
    assert landed == list(range(accepted))
    assert f"{accepted:,} of 1,500 records delivered" in end.out
    assert f"interrupted: {accepted:,} of {accepted:,} accepted records were delivered" in end.err
    assert f"{1500 - accepted:,} were not sent, from a.jsonl:{accepted + 1} on" in end.err
    assert not re.search("Traceback|Warning", end.text)
    assert not (tmp_path / "undelivered.jsonl").exists()


async def test_a_file_that_changes_meanwhile_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines([{"id": n, "text": LARGE} for n in range(600)]))
    async with (
        Sandbox(faults="delay:0.1*all") as sandbox,
        started(tmp_path, "panoply", "write", "a.jsonl", "-t", "t", env=sandbox.env) as process,
    ):
        async with asyncio.timeout(10):
            while sandbox.panoply.counters.accepted < 2:
                await asyncio.sleep(0.02)
        with path.open("a") as stream:
            stream.write('{"id": "late"}\n')
        end = await ended(process)
    assert end.status == 1
    assert "a.jsonl was changed while it was being sent" in end.err
