"""House rules for every test: nothing may leak, nothing may block the loop, and missing services are named.

A folder has the tests of one part of the package and the scenes that only they share; scenes of several folders are
here. ``house`` has what stands above ``http`` and belongs to no platform, and what is said of all. Each folder is a
package but ``http``, whose name the standard library has.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import inspect
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from helpers import SERVICES, fail_on_leaked_tasks, require_service
from hypothesis import HealthCheck, settings
from warm import STRICT, starter

from asyncconn.core.rates.registry import forget_limiters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytest.register_assert_rewrite("panoply.writer_tests")  # before any folder's conftest imports it

settings.register_profile("asyncconn", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("asyncconn")

#: Threads by these names belong to executors that end with their loop or with the process.
ALLOWED_THREADS = ("asyncio_", "pytest_timeout")


def pytest_configure() -> None:
    """What tests talk to is on this machine: a proxy of the environment is not for them, nor for what they start."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ASYNCCONN_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    # A shell that starts the run in the background has it ignore Ctrl-C, and what we start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``slow(seconds)`` replaces the time that every other test has."""
    for item in items:
        if (mark := item.get_closest_marker("slow")) is not None:
            item.add_marker(pytest.mark.timeout(*mark.args))


def pytest_collection_finish() -> None:
    """What is there before the first test need not be looked through after each one."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("service"):
        name = mark.args[0]
        if name not in SERVICES:
            raise pytest.UsageError(f"{item.nodeid}: unknown service {name!r}; tests/helpers.py knows {list(SERVICES)}")
        here, how = SERVICES[name]
        require_service(name, here(), how)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the rounds of kill -9 came to, in all."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, figures in getattr(report, "user_properties", ()):
                if name == "spool" and report.when == "call":
                    total.update(figures)
    if total:
        said = ", ".join(f"{total[name]:,} {name}" for name in ("rounds", "records", "lost", "duplicates"))
        terminalreporter.write_line(f"kill -9 with the spool on: {said}")


@pytest.fixture(scope="session", autouse=True)
def blocking() -> Iterator[BlockBuster]:
    """Raises ``BlockingError`` where our own code blocks a running event loop.

    The virtual clock is below every virtual test, so it does not count as being in our code; nor does the sandbox.
    """
    with blockbuster_ctx("asyncconn", excluded_modules=["asyncconn.core.clock", "asyncconn.sandbox"]) as found:
        for function in found.functions.values():
            function.can_block_in("asyncconn/settings.py", {"load", "variable", "variables"})  # looks for .env, once
            for module in ("command", "network", "files"):  # a program of its own, with nobody else on its loop
                function.can_block_in(
                    f"asyncconn/cli/doctor/{module}.py",
                    {"examined", "surroundings", "_place", "_large", "_roomy", "_holder"},
                )
            function.can_block_in("asyncconn/core/buffer/spool.py", {"_commit_here"})  # the system's cache, no disk
        yield found


@pytest.fixture(scope="session", autouse=True)
def _orphans_are_ours() -> None:
    """Processes that our children leave behind become our children, where the system knows how: so they are seen."""
    if sys.platform == "linux":
        become_subreaper = 36
        ctypes.CDLL(None).prctl(become_subreaper, 1, 0, 0, 0)


@pytest.fixture(scope="module", autouse=True)
def _kept_for_good() -> None:
    """What has outlived the tests of the modules before need not be looked through after each of those to come."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def warm_plain() -> Iterator[None]:
    """Programs begin at once, see ``warm.python``."""
    with starter():
        yield


@pytest.fixture(scope="session")
def warm_strict() -> Iterator[None]:
    """The same for those whose warnings are errors."""
    with starter(*STRICT):
        yield


@pytest.fixture(autouse=True)
def _no_leaks(_orphans_are_ours: None) -> Iterator[None]:
    """Fails a test that leaves threads or processes; what was dropped unclosed surfaces as a warning."""
    threads, children, imported = set(threading.enumerate()), _children(), len(sys.modules)
    yield
    gc.collect()
    if len(sys.modules) > imported:
        gc.freeze()  # nor what has been imported
    left = [t for t in threading.enumerate() if t not in threads and not t.name.startswith(ALLOWED_THREADS)]
    deadline = time.monotonic() + 1.0
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    if left := [thread for thread in left if thread.is_alive()]:
        pytest.fail(f"the test left threads behind: {', '.join(thread.name for thread in left)}")
    while (more := _living(_children() - children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if more:
        pytest.fail(f"the test left processes behind: {', '.join(map(_named, sorted(more)))}")


@pytest.fixture(autouse=True)
def _new_limiters() -> None:
    """Each test begins with fresh rate limits, as a new process does."""
    forget_limiters()


@pytest.fixture(autouse=True)
def _no_leaked_tasks(request: pytest.FixtureRequest, _no_leaks: None) -> None:
    """Asynchronous tests only; a ``@virtual`` test looks for itself, before its loop closes."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_task_watch")


@pytest.fixture
async def _task_watch() -> AsyncIterator[None]:
    assert len(asyncio.all_tasks()) <= 1, "the loop of this test is not a fresh one"
    yield
    await fail_on_leaked_tasks()


def _living(processes: set[int]) -> set[int]:
    """Those that still run. An orphan that has ended waits for its end to be noticed; here it is."""
    for pid in processes:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return {pid for pid in processes if Path(f"/proc/{pid}").exists()}


def _named(pid: int) -> str:
    with suppress(OSError):
        return f"{pid} ({Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ').strip()})"
    return str(pid)


def _children() -> set[int]:
    """Process ids of our children, where the system tells (elsewhere subprocess's own warning has to do)."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_text().split())
        except OSError:  # the thread has just ended
            continue
    return found
