"""When to try again, on a clock that costs nothing."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    BadRequest,
    BatchError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    HubClosed,
    PoolTimeout,
    ProtocolError,
    RateLimited,
    ReadTimeout,
    ServerError,
    Unauthorized,
)

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


class Calls:
    """Fails with each of ``errors`` in turn, then succeeds."""

    def __init__(self, clock: VirtualClock, *errors: BaseException) -> None:
        self.clock = clock
        self.errors = list(errors)
        self.at: list[float] = []

    async def __call__(self) -> str:
        self.at.append(self.clock.now())
        if self.errors:
            raise self.errors.pop(0)
        return "fine"


def _no(kind: type[Any] = ServerError, status: int = 503, **more: Any) -> AsyncConnError:
    error: AsyncConnError = kind("no", Answer("p", status, **more))
    return error


@pytest.mark.parametrize(
    ("error", "never", "idempotent", "if_idempotent", "always"),
    [
        (ConnectFailed("x"), True, True, True, True),
        (PoolTimeout("x"), True, True, True, True),
        (RateLimited("x", Answer("p", 429)), True, True, True, True),
        (RateLimited("x", Answer("p", 429, retry_after=61.0)), False, False, False, False),
        (RateLimited("x", Answer("p", 429), local=True), False, False, False, False),
        (ReadTimeout("x"), False, False, True, True),
        (ConnectionLost("x"), False, False, True, True),
        (_no(), False, False, True, True),
        (ProtocolError("x"), False, False, False, True),
        (_no(BadRequest, 400), False, False, False, False),
        (_no(Unauthorized, 401), False, False, False, False),
        (ConfigError("x"), False, False, False, False),
        (HubClosed("x"), False, False, False, False),
        (BatchError("x"), False, False, False, False),
        (OSError("x"), False, False, False, False),
        (asyncio.CancelledError(), False, False, False, False),
        (KeyboardInterrupt(), False, False, False, False),
    ],
)
def test_what_may_be_repeated(
    error: BaseException, never: bool, idempotent: bool, if_idempotent: bool, always: bool
) -> None:
    assert RetryPolicy(maybe_sent="never").allows(error, idempotent=True) is never
    assert RetryPolicy().allows(error, idempotent=False) is idempotent
    assert RetryPolicy().allows(error, idempotent=True) is if_idempotent
    assert RetryPolicy(maybe_sent="always").allows(error, idempotent=False) is always


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"initial": 0.0}, {"maximum": 0.1}, {"deadline": 0.0}, {"maybe_sent": "sometimes"}],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**wrong)


@virtual
async def test_attempts_count_the_first_one_and_the_last_error_is_raised(clock: VirtualClock) -> None:
    errors = [ConnectFailed(str(number)) for number in range(9)]
    calls = Calls(clock, *errors)
    with pytest.raises(ConnectFailed) as caught:
        await RetryPolicy(attempts=3).run(calls, idempotent=False, clock=clock)

    assert caught.value is errors[2]
    assert len(calls.at) == 3


@virtual
async def test_once_is_once(clock: VirtualClock) -> None:
    calls = Calls(clock, ConnectFailed("x"))
    with pytest.raises(ConnectFailed):
        await ONCE.run(calls, idempotent=True, clock=clock)

    assert len(calls.at) == 1


@virtual
async def test_waits_grow_to_the_maximum_and_no_further(clock: VirtualClock) -> None:
    policy = RetryPolicy(attempts=60, initial=0.5, maximum=4.0, deadline=10_000.0)
    calls = Calls(clock, *[ConnectFailed("x")] * 59)
    assert await policy.run(calls, idempotent=True, clock=clock) == "fine"
    waits = [later - earlier for earlier, later in zip(calls.at, calls.at[1:], strict=False)]

    assert waits[0] <= 0.5 + 1e-6
    assert waits[1] <= 1.0 + 1e-6
    assert 2.0 < max(waits) <= 4.0 + 1e-6
    assert min(waits) < 1.0  # full jitter: also short ones


@virtual
async def test_a_retry_after_is_a_floor(clock: VirtualClock) -> None:
    calls = Calls(clock, _no(RateLimited, 429, retry_after=20.0), _no(retry_after=10.0))
    await RetryPolicy().run(calls, idempotent=True, clock=clock)

    assert 20.0 < calls.at[1] <= 20.25
    assert 10.0 < calls.at[2] - calls.at[1] <= 10.5


@virtual
async def test_no_attempt_begins_after_the_deadline_and_nobody_sleeps_for_nothing(clock: VirtualClock) -> None:
    calls = Calls(clock, *[_no(retry_after=25.0)] * 9)
    with pytest.raises(ServerError):
        await RetryPolicy(attempts=9).run(calls, idempotent=True, clock=clock)

    assert len(calls.at) == 3
    assert clock.now() < 51.5


@virtual
async def test_seconds_that_do_not_count_do_not_count(clock: VirtualClock) -> None:
    waited = 0.0

    async def attempt() -> None:
        nonlocal waited
        await clock.sleep(100.0)
        waited += 100.0
        raise ConnectFailed("x")

    with pytest.raises(ConnectFailed):
        await RetryPolicy(deadline=60.0).run(attempt, idempotent=True, clock=clock, not_counted=lambda: waited)

    assert waited == 400.0


@virtual
async def test_whoever_listens_hears_the_error_and_the_wait(clock: VirtualClock) -> None:
    heard: list[tuple[AsyncConnError, float]] = []
    error = ConnectFailed("x")
    calls = Calls(clock, error)
    await RetryPolicy().run(calls, idempotent=True, clock=clock, on_retry=lambda *what: heard.append(what))

    assert [said for said, _ in heard] == [error]
    assert heard[0][1] == pytest.approx(calls.at[1])


@virtual
async def test_cancelled_in_an_attempt_or_in_a_wait_it_is_cancelled(clock: VirtualClock) -> None:
    calls = Calls(clock, _no(retry_after=30.0))
    task = asyncio.ensure_future(RetryPolicy().run(calls, idempotent=True, clock=clock))
    await asyncio.sleep(10.0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()

    with pytest.raises(asyncio.CancelledError):
        await RetryPolicy(maybe_sent="always").run(
            Calls(clock, ConnectFailed("x"), asyncio.CancelledError()), idempotent=True, clock=clock
        )


@virtual
async def test_an_error_that_may_not_be_repeated_ends_it_in_a_later_attempt_too(clock: VirtualClock) -> None:
    calls = Calls(clock, ConnectFailed("x"), _no(BadRequest, 400))
    with pytest.raises(BadRequest) as caught:
        await RetryPolicy().run(calls, idempotent=True, clock=clock)

    assert len(calls.at) == 2
    assert not caught.value.maybe_sent


@virtual
async def test_the_last_error_tells_of_any_attempt_with_an_unknown_outcome(clock: VirtualClock) -> None:
    calls = Calls(clock, ReadTimeout("x"), ConnectFailed("x"), ConnectFailed("y"))
    with pytest.raises(ReadTimeout) as caught:  # of the last one alone, "nothing was sent" would be true
        await RetryPolicy(attempts=3).run(calls, idempotent=True, clock=clock)

    assert caught.value.maybe_sent
    assert len(calls.at) == 3


@virtual
async def test_a_strangers_error_passes_untouched(clock: VirtualClock) -> None:
    calls = Calls(clock, ConnectFailed("x"), ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError, match="bug"):
        await RetryPolicy(maybe_sent="always").run(calls, idempotent=True, clock=clock)


@virtual
async def test_a_herd_spreads_out(clock: VirtualClock) -> None:
    """1,000 clients at once, a server that serves 100 a second: at most 10 calls each, within three times the ideal."""
    random.seed(1)
    served: dict[int, int] = {}
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        second = int(clock.now())
        served[second] = served.get(second, 0) + 1
        if served[second] > 100:
            raise _no(RateLimited, 429)

    policy = RetryPolicy(attempts=1_000, initial=0.1, maximum=20.0, deadline=10_000.0)
    await asyncio.gather(*[policy.run(attempt, idempotent=True, clock=clock) for _ in range(1_000)])

    assert calls <= 10 * 1_000
    assert clock.now() <= 30.0


def test_a_failure_while_the_retry_library_is_being_imported_does_not_block_the_loop() -> None:
    code = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConnectFailed

async def call():
    failed = []

    async def attempt():
        if not failed:
            failed.append(1)
            raise ConnectFailed("no")
        return 1

    return await RetryPolicy(initial=0.01, maximum=0.01).run(attempt, idempotent=True)

async def main():
    first = asyncio.ensure_future(call())
    while "tenacity" not in sys.modules:
        await asyncio.sleep(0)
    return sum(await asyncio.gather(first, *[call() for _ in range(20)]))

with blockbuster_ctx("asyncconn"):
    assert asyncio.run(main()) == 21
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    assert (done.returncode, done.stderr) == (0, "")
