"""How an ``SDK`` ends: flushed, closed once or twice or too late, and with its program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import count
from typing import Any

import pytest

from asyncconn import UndeliveredWarning
from asyncconn.errors import BufferClosed, LifecycleError
from asyncconn.panoply import sdk as sdk_module
from asyncconn.panoply.sdk import SDK
from asyncconn.sandbox import Fault

from . import scene
from .scene import Target, balanced, wait_until

# -- ending ------------------------------------------------------------------------------------------------------------


def test_a_flush_tells_what_became_of_what_was_written(target: Target, way: str) -> None:
    with target.sdk() as sdk:
        assert sdk.flush().delivered == 0
        for i in range(7):
            sdk.write("t", {"id": i})
        report = sdk.flush()
        assert (report.delivered, report.complete) == (7, True)
        target.sandbox.faults.add(Fault("delay", seconds=0.3))
        sdk.write("t", {"id": 7})
        assert sdk.flush(timeout=0.01).pending == 1
    assert target.ids() == list(range(8))


def test_closing_twice_gives_the_same_report_and_ends_the_thread(target: Target, way: str) -> None:
    sdk = target.sdk()
    sdk.write("t", {"id": 1})
    reports: list[Any] = []
    closers = [threading.Thread(target=lambda: reports.append(sdk.close())) for _ in range(3)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(10)
    assert reports == [reports[0]] * 3
    assert (reports[0].delivered, reports[0].complete) == (1, True)
    assert [one.name for one in threading.enumerate() if one.name.startswith("asyncconn-sdk")] == []
    with pytest.raises(BufferClosed):
        sdk.write("t", {"id": 2})
    with pytest.raises(LifecycleError):
        sdk.flush()
    assert sdk.stats.delivered == 1
    assert "closed" in repr(sdk)


def test_a_close_whose_time_is_over_says_what_did_not_arrive(target: Target, way: str) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=10.0, times=None))
    sdk = target.sdk()
    for i in range(3):
        sdk.write("t", {"id": i})
    with pytest.warns(UndeliveredWarning, match=r"3 lost records that nobody was told of \(panoply: 3\)") as warned:
        report = sdk.close(timeout=0.1)
    assert warned[0].filename == scene.__file__  # where it was made
    assert (report.delivered, report.unknown, len(report.undelivered)) == (0, 3, 3)
    assert balanced(sdk).unknown == 3


def test_a_record_whose_write_has_returned_is_there_whenever_the_sdk_is_closed(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk_module, "_TURN", 1)  # the loop is far behind the writers
    for round_ in range(10):
        sdk = target.sdk()
        taken: list[str] = []

        def write(sdk: SDK = sdk, taken: list[str] = taken, round_: int = round_) -> None:
            try:
                for i in count():
                    sdk.write(f"t{round_}", {"id": f"{threading.get_ident()}-{i}"})
                    taken.append(f"{threading.get_ident()}-{i}")
            except BufferClosed:
                return

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        wait_until(lambda taken=taken, least=20 * round_: len(taken) > least)
        report = sdk.close()
        for writer in writers:
            writer.join(5)
        assert report.complete
        assert sdk.stats.delivered == len(taken)
        assert target.ids(f"t{round_}") == sorted(taken)


# -- the end of the program --------------------------------------------------------------------------------------------


WRITES = """
import logging, os, sys, threading
from asyncconn import BatchPolicy
from asyncconn.panoply.sdk import SDK

logging.basicConfig(format="%(message)s")
url = os.environ["ASYNCCONN_PANOPLY_ENDPOINT_URL"].replace("127.0.0.1", "localhost")
key, secret = os.environ["ASYNCCONN_PANOPLY_API_KEY"], os.environ["ASYNCCONN_PANOPLY_API_SECRET"]
sdk = SDK(key, secret, endpoint_url=url, policy=BatchPolicy(max_age=60.0))

def write(first, last):
    for i in range(first, last):
        sdk.write("t", {"id": i})
"""
ENDS = {
    "at once": "write(0, 1000)",
    "with an error": "write(0, 1000)\nraise SystemExit(3)",
    "while a thread still writes": """
main = threading.main_thread()
def later():
    main.join()
    write(0, 1000)
threading.Thread(target=later).start()
""",
    "after a retry": "write(0, 1000)\n",
    "closed before": "write(0, 1000)\nsdk.close()",
    "after a fork": """
write(0, 1000)
if not os.fork():
    for call in (lambda: write(0, 1), sdk.flush, sdk.close, lambda: sdk.stats):
        try:
            call()
        except Exception as error:
            assert "belongs to the process that made it" in str(error), error
        else:
            os._exit(1)
    sys.exit(0)
assert os.wait()[1] == 0
""",
}


def run(target: Target, script: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **target.sandbox.env, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    return subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=18, check=False
    )


@pytest.mark.parametrize("ends", ENDS)
def test_a_program_that_ends_delivers_what_it_has_written(target: Target, ends: str) -> None:
    if ends == "after a retry":  # its first need of the retry library comes when executors have ended
        target.sandbox.faults.add(Fault("status", status=503))
    done = run(target, WRITES + ENDS[ends])
    assert (done.returncode, done.stderr) == (3 if ends == "with an error" else 0, "")
    assert target.ids() == list(range(1000))


def test_a_program_that_ends_while_the_server_is_away_says_what_is_lost(target: Target) -> None:
    target.sandbox.faults.add(Fault("status", status=500, times=None))
    script = WRITES.replace("max_age=60.0)", "max_age=60.0), retry=ONCE").replace(
        "import logging", "from asyncconn.core.retrying import ONCE\nimport logging"
    )
    done = run(target, script + "write(0, 10)")
    assert done.returncode == 0
    assert "10 records of table 't' were not delivered: ServerError" in done.stderr
    assert "UndeliveredWarning: the hub closed with 10 lost records that nobody was told of" in done.stderr
    assert target.sandbox.panoply.api_secret not in done.stderr


def test_ctrl_c_during_a_close_loses_nothing(target: Target) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=1.0))
    script = WRITES + "write(0, 10)\nprint('written', flush=True)\nsdk.close()"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **target.sandbox.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        wait_until(lambda: target.sandbox.requests["panoply"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT
    assert target.ids() == list(range(10))
