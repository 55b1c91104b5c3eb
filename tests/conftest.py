"""House rules for every test: nothing may leak, nothing may block the loop, and missing services are named."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from helpers import SERVICES, fail_on_leaked_tasks, require_service
from hypothesis import HealthCheck, settings

from asyncconn.core.registry import forget_limiters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

settings.register_profile("asyncconn", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("asyncconn")

#: Threads by these names belong to executors that end with their loop or with the process.
ALLOWED_THREADS = ("asyncio_", "pytest_timeout")


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
            function.can_block_in("asyncconn/settings.py", {"load"})  # a constructor looks for .env, once
        yield found


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Fails a test that leaves threads or child processes; what was dropped unclosed surfaces as a warning."""
    threads, children = set(threading.enumerate()), _children()
    yield
    gc.collect()
    left = [t for t in threading.enumerate() if t not in threads and not t.name.startswith(ALLOWED_THREADS)]
    deadline = time.monotonic() + 1.0
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    if left := [thread for thread in left if thread.is_alive()]:
        pytest.fail(f"the test left threads behind: {', '.join(thread.name for thread in left)}")
    if more := _children() - children:
        pytest.fail(f"the test left child processes behind: {sorted(more)}")


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


def _children() -> set[int]:
    """Process ids of our children, where the system tells (elsewhere subprocess's own warning has to do)."""
    found: set[int] = set()
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_text().split())
        except OSError:  # the thread has just ended
            continue
    return found
