"""Waiting for what takes time elsewhere, on a clock that costs none."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual

from asyncconn import errors
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    Forbidden,
    OperationFailed,
    PollTimeout,
    ProtocolError,
    RateLimited,
    ServerError,
    Unauthorized,
)

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


class Job:
    """Runs for ``length`` seconds from its making; ``script`` are errors of the first polls."""

    def __init__(self, clock: VirtualClock, length: float, *script: BaseException) -> None:
        self.clock = clock
        self.began = clock.now()
        self.length = length
        self.script = list(script)
        self.polled: list[float] = []

    async def fetch(self) -> str:
        self.polled.append(self.clock.now() - self.began)
        if self.script:
            raise self.script.pop(0)
        return "SUCCESS" if self.clock.now() - self.began >= self.length else "RUNNING"

    def poller(self, policy: PollPolicy | None = None, **options: Any) -> Poller[str, str]:
        given: dict[str, Any] = {"done": lambda state: state == "SUCCESS", "result": str.lower, "clock": self.clock}
        return Poller(self.fetch, policy=policy, **{**given, **options})


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


STEADY = PollPolicy(jitter=0.0)


# -- the policy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "wait"), [(0, 1.0), (10, 1.55), (100, 6.5), (500, 28.5), (600, 30.0), (9_999, 30.0)]
)
def test_the_wait_is_the_least_and_a_share_of_the_time_waited(elapsed: float, wait: float) -> None:
    assert STEADY.interval(elapsed) == pytest.approx(wait)


def test_the_jitter_goes_either_way_and_no_further() -> None:
    waits = [PollPolicy().interval(100.0) for _ in range(500)]

    assert 5.2 <= min(waits) < 5.5
    assert 7.5 < max(waits) <= 7.8


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 0.0},
        {"minimum": 2.0, "maximum": 1.0},
        {"share": -0.1},
        {"jitter": 1.0},
        {"first": -1.0},
        {"deadline": 0.0},
        {"tolerate": -1},
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PollPolicy(**wrong)


# -- waiting -----------------------------------------------------------------------------------------------------------


@virtual
async def test_awaiting_a_poller_gives_the_result(clock: VirtualClock) -> None:
    job = Job(clock, 30.0)
    poller = job.poller(STEADY)

    assert await poller == "success"
    assert (poller.polls, poller.last) == (len(job.polled), "SUCCESS")
    assert 30.0 <= clock.now() < 33.1


@virtual
async def test_what_is_done_already_takes_one_poll_and_no_time(clock: VirtualClock) -> None:
    poller = Job(clock, 0.0).poller()

    assert await poller == "success"
    assert (poller.polls, clock.now()) == (1, 0.0)


@virtual
async def test_the_first_poll_may_be_put_off(clock: VirtualClock) -> None:
    job = Job(clock, 0.0)
    await job.poller(PollPolicy(first=4.0))

    assert job.polled == [4.0]


@virtual
async def test_iterating_shows_every_state_the_last_one_included(clock: VirtualClock) -> None:
    states = [state async for state in Job(clock, 2.5).poller(STEADY)]

    assert states == ["RUNNING", "RUNNING", "RUNNING", "SUCCESS"]  # at 0, 1, 2.055 and 3.168


@virtual
async def test_leaving_the_iteration_early_stops_polling(clock: VirtualClock) -> None:
    job = Job(clock, 100.0)
    async for _ in job.poller(STEADY):
        if clock.now() >= 3.0:
            break
    seen = len(job.polled)
    await asyncio.sleep(60.0)

    assert len(job.polled) == seen == 4


@virtual
async def test_the_status_can_be_asked_at_once(clock: VirtualClock) -> None:
    poller = Job(clock, 5.0).poller(token="job-1")

    assert await poller.status() == "RUNNING"
    assert (poller.polls, poller.last, poller.token()) == (1, "RUNNING", "job-1")


# -- the deadline ------------------------------------------------------------------------------------------------------


@virtual
async def test_at_the_deadline_the_error_says_how_to_go_on(clock: VirtualClock) -> None:
    poller = Job(clock, 100.0).poller(PollPolicy(deadline=20.0), token="job-1", name="export")
    with pytest.raises(PollTimeout, match="export was not done after 20 s") as caught:
        await poller

    assert (caught.value.token, caught.value.last, caught.value.polls) == ("job-1", "RUNNING", poller.polls)
    assert "RUNNING" in str(caught.value)
    assert clock.now() == pytest.approx(20.0)


@virtual
async def test_of_the_last_state_no_credential_is_told_and_it_stays_what_it_was(clock: VirtualClock) -> None:
    state = {"log": "x" * 275, "you": "t0ken-of-nobody"}  # it would be cut in the middle of that

    async def fetch() -> dict[str, str]:
        return state

    poller: Poller[dict[str, str], dict[str, str]] = Poller(
        fetch,
        done=lambda _: False,
        result=lambda last: last,
        policy=PollPolicy(deadline=5.0),
        clock=clock,
        scrub=lambda text: text.replace("t0ken-of-nobody", "***"),
    )
    with pytest.raises(PollTimeout, match=r"last state: .*'you': '[*]{3}'") as caught:
        await poller

    assert "t0ken" not in str(caught.value)
    assert caught.value.last is state


@virtual
async def test_a_fetch_that_hangs_is_ended_by_the_deadline(clock: VirtualClock) -> None:
    async def hang() -> str:
        await asyncio.sleep(86_400)
        return "SUCCESS"

    poller = Poller(hang, done=bool, result=str, policy=PollPolicy(deadline=20.0), clock=clock)
    with pytest.raises(PollTimeout):
        await poller

    assert clock.now() == pytest.approx(20.0)


@virtual
async def test_a_timeout_of_the_fetch_itself_is_not_taken_for_the_deadline(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError, match="its own"):
        await Job(clock, 9.0, TimeoutError("its own")).poller()


@virtual
async def test_a_timeout_around_a_poller_is_the_callers(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5.0):
            await Job(clock, 60.0).poller()

    assert clock.now() == pytest.approx(5.0)


@virtual
async def test_cancelled_a_poller_leaves_nothing(clock: VirtualClock) -> None:
    job = Job(clock, 60.0)
    task = asyncio.ensure_future(job.poller().wait())
    await asyncio.sleep(5.0)
    seen = len(job.polled)
    task.cancel()
    await asyncio.wait({task})
    await turns()
    await asyncio.sleep(60.0)

    assert task.cancelled()
    assert len(job.polled) == seen


# -- errors ------------------------------------------------------------------------------------------------------------

_PASSING: list[AsyncConnError] = [
    ConnectFailed("x"),
    ConnectionLost("x"),
    ServerError("x", Answer("p", 502)),
    RateLimited("x", Answer("p", 429)),
]


@virtual
async def test_passing_errors_are_taken_as_not_yet(clock: VirtualClock) -> None:
    job = Job(clock, 30.0, *_PASSING)

    assert await job.poller() == "success"
    assert all(0.9 <= gap <= 30.0 for gap in _gaps(job.polled)[:4])


@virtual
async def test_too_many_errors_in_a_row_end_it(clock: VirtualClock) -> None:
    job = Job(clock, 30.0, *_PASSING)
    with pytest.raises(ServerError):
        await job.poller(PollPolicy(tolerate=2))

    assert len(job.polled) == 3


@virtual
async def test_a_success_in_between_starts_the_count_anew(clock: VirtualClock) -> None:
    class Flaky(Job):
        async def fetch(self) -> str:
            state = await super().fetch()
            if len(self.polled) % 3:
                raise ConnectFailed("x")
            return state

    job = Flaky(clock, 60.0)
    assert await job.poller(PollPolicy(tolerate=2)) == "success"
    assert len(job.polled) > 6


@virtual
async def test_the_servers_retry_after_is_waited_out(clock: VirtualClock) -> None:
    job = Job(clock, 10.0, RateLimited("x", Answer("p", 429, retry_after=45.0)))
    await job.poller()

    assert job.polled == [0.0, 45.0]


@virtual
async def test_at_the_deadline_the_last_error_is_the_cause(clock: VirtualClock) -> None:
    error = ServerError("x", Answer("p", 503, retry_after=300.0))
    with pytest.raises(PollTimeout) as caught:
        await Job(clock, 10.0, error).poller(PollPolicy(deadline=60.0))

    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized("x", Answer("p", 401)),
        Forbidden("x", Answer("p", 403)),
        ProtocolError("not a boolean"),
        KeyError("a bug"),
    ],
)
def test_any_other_error_ends_it_at_once(error: Exception) -> None:
    @virtual
    async def run(clock: VirtualClock) -> None:
        job = Job(clock, 10.0, error)
        with pytest.raises(type(error)) as caught:
            await job.poller()
        assert caught.value is error
        assert clock.now() == 0.0

    run()


@virtual
async def test_a_final_state_that_is_a_failure_is_raised_by_done(clock: VirtualClock) -> None:
    def done(state: str) -> bool:
        if state == "SUCCESS":
            raise OperationFailed("the job failed", state=state)
        return False

    with pytest.raises(OperationFailed) as caught:
        await Job(clock, 10.0).poller(done=done)
    assert caught.value.state == "SUCCESS"


# -- in practice -------------------------------------------------------------------------------------------------------

#: Contract limits, section 5.1: first poll after 0.25 s, waits growing by half up to 2 s, 60 s in all, 10 % jitter.
LIMITS = PollPolicy(first=0.25, minimum=0.25, maximum=2.0, share=0.5, jitter=0.1, deadline=60.0, tolerate=10_000)


@virtual
async def test_the_algorithm_of_limits_can_be_written_as_a_policy(clock: VirtualClock) -> None:
    job = Job(clock, 50.0)
    assert await job.poller(replace(LIMITS, jitter=0.0)) == "success"

    assert job.polled[0] == 0.25
    assert _gaps(job.polled)[:6] == pytest.approx([0.375, 0.5625, 0.84375, 1.265625, 1.8984375, 2.0])
    assert set(_gaps(job.polled)[6:]) == {2.0}
    assert clock.now() < 52.0


@virtual
async def test_with_it_an_outage_lasts_no_longer_than_the_deadline(clock: VirtualClock) -> None:
    outage = [ServerError("x", Answer("p", 503))] * 1_000
    with pytest.raises(PollTimeout):
        await Job(clock, 1.0, *outage).poller(LIMITS)

    assert clock.now() == pytest.approx(60.0)


def test_five_thousand_jobs_are_polled_seldom_and_noticed_soon() -> None:
    """The simulation of 5,000 log-normal jobs, median 30 s, sigma 1.2, against a poll every second."""
    policy = PollPolicy()
    chance = random.Random(1)
    random.seed(2)
    polls = every_second = 0
    lags: list[float] = []
    for _ in range(5_000):
        length = chance.lognormvariate(3.4012, 1.2)
        now = 0.0
        count = 1
        while now < length:
            now += policy.interval(now)
            count += 1
        polls += count
        every_second += int(length) + 2
        lags.append((now - length) / length)

    assert polls <= 0.37 * every_second
    assert statistics.median(lags) <= 0.05


@virtual
async def test_many_pollers_do_what_the_simulation_says(clock: VirtualClock) -> None:
    chance = random.Random(1)
    jobs = [Job(clock, chance.lognormvariate(3.4012, 1.2)) for _ in range(300)]
    ended: list[float] = []

    async def follow(job: Job) -> None:
        await job.poller(PollPolicy(deadline=86_400.0))
        ended.append((clock.now() - job.length) / job.length)

    await asyncio.gather(*[follow(job) for job in jobs])

    assert sum(len(job.polled) for job in jobs) <= 0.4 * sum(job.length + 2 for job in jobs)
    assert statistics.median(ended) <= 0.07


@virtual
async def test_a_platform_may_have_its_own_view_of_what_passes(clock: VirtualClock) -> None:
    def passing(error: errors.AsyncConnError) -> bool:
        return isinstance(error, errors.NotFound)

    def failing(error: errors.AsyncConnError) -> Poller[bool, bool]:
        answers: list[errors.AsyncConnError | bool] = [error, True]

        async def fetch() -> bool:
            answer = answers.pop(0)
            if isinstance(answer, errors.AsyncConnError):
                raise answer
            return answer

        return Poller(fetch, done=bool, result=bool, clock=clock, passing=passing)

    assert await failing(errors.NotFound("not yet", errors.Answer("test", 404))) is True
    for ends in (errors.ServerError("no", errors.Answer("test", 500)), errors.ReadTimeout("no")):
        with pytest.raises(type(ends)):
            await failing(ends)
