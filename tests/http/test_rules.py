"""Rules may be a stranger's: whatever they raise or return, an answer keeps its meaning and a call its outcome."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, QuickClock, Reply, road, saying

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.core.retrying import ONCE
from asyncconn.errors import Answer, ApiError, Conflict, NotFound, ProtocolError, RateLimited, ServerError
from asyncconn.http.auth import TokenAuth
from asyncconn.http.rules import PlainRules, RateHint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.http.redact import Redactor
    from asyncconn.http.response import Response

TOKEN = "very-s3cret-token"


class Saying(PlainRules):
    """What the test says."""

    def __init__(self, error: Callable[[Response], Any] | None = None, hints: Any = ()) -> None:
        self._error = error
        self._hints = hints

    def error(self, response: Response, redactor: Redactor) -> Any:
        return super().error(response, redactor) if self._error is None else self._error(response)

    def hints(self, response: Response) -> Iterable[RateHint]:
        found: Iterable[RateHint] = self._hints(response) if callable(self._hints) else self._hints
        return found


def raising(error: Exception) -> Callable[[Response], Any]:
    def rule(response: Response) -> Any:
        raise error

    return rule


class _Deep(Exception):
    """Of a library underneath."""


def _members(response: Response) -> Any:
    return Conflict(response.json()["error"], Answer("t", 409)) if response.json().get("error") else None


ODD = [
    raising(_Deep("no")),
    raising(RecursionError("too deep")),
    lambda response: "an error as text",
    lambda response: Conflict,
    lambda response: ValueError("returned"),
    lambda response: response.json()[3],
]


@pytest.mark.parametrize("rule", ODD)
async def test_odd_rules_make_a_2xx_an_answer_that_cannot_be_read(rule: Any) -> None:
    async with Loopback(saying([1])) as server, road(server, rules=Saying(rule), retry=ONCE) as http:
        with pytest.raises(ProtocolError, match="answered 200, and the rules cannot read it") as caught:
            await http.request("POST", "/", json={})

    assert caught.value.maybe_sent
    assert isinstance(caught.value.__cause__, Exception)


@pytest.mark.parametrize("rule", ODD)
async def test_odd_rules_leave_an_error_what_its_status_means(rule: Any) -> None:
    async with Loopback(otherwise=saying([1], 404)) as server, road(server, rules=Saying(rule)) as http:
        with pytest.raises(NotFound) as caught:
            await http.request("GET", "/")

    assert isinstance(caught.value.__cause__, Exception)


async def test_rules_that_cannot_read_a_proxys_page_do_not_end_the_retries() -> None:
    page = Reply(503, b"<html>try later</html>", {"Content-Type": "text/html"})
    async with Loopback(page, page, saying({})) as server:
        async with road(server, rules=Saying(_members), clock=QuickClock()) as http:
            answer = await http.request("GET", "/")

        assert (answer.status, len(server.seen)) == (200, 3)


async def test_an_error_of_ours_may_be_raised_as_well_as_returned() -> None:
    error = RateLimited("slow down", Answer("t", 429, retry_after=2.0))
    limiter = RateLimiter(Window(100, 60.0))
    async with (
        Loopback(saying({})) as server,
        road(server, rules=Saying(raising(error)), retry=ONCE, limiters={"default": limiter}) as http,
    ):
        with pytest.raises(RateLimited) as caught:
            await http.request("GET", "/")

    assert caught.value is error
    assert limiter.snapshot().paused_for > 0


async def test_a_rate_limit_with_a_header_as_it_came_holds_and_is_repeated() -> None:
    def rule(response: Response) -> Any:
        if response.status == 429:
            return RateLimited("slow down", Answer("t", 429, retry_after=response.headers["Retry-After"]))  # type: ignore[arg-type] # a header is text
        return None

    clock = QuickClock()
    limiter = RateLimiter(Window(100, 60.0), clock=clock)
    refused = saying({}, 429, Retry_After="3")
    async with (
        Loopback(refused, saying({})) as server,
        road(server, rules=Saying(rule), limiters={"default": limiter}, clock=clock) as http,
    ):
        assert (await http.request("GET", "/")).status == 200

    assert sum(clock.slept) >= 3


def _broken(response: Response) -> Iterable[RateHint]:
    yield RateHint("window", remaining=int(response.headers["X-Left"]))


@pytest.mark.parametrize(
    "hints",
    [
        _broken,
        raising(_Deep(TOKEN)),
        None,
        [3],
        [RateHint("window", remaining="few")],  # type: ignore[arg-type] # what rules that forgot to convert give
    ],
)
async def test_hints_that_cannot_be_read_cost_no_answer_and_are_logged_once(
    hints: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RateLimiter(Window(100, 60.0))
    async with (
        Loopback(otherwise=saying({}, X_Left="many")) as server,
        road(server, rules=Saying(hints=hints), limiters={"default": limiter}, auth=TokenAuth(TOKEN)) as http,
    ):
        for _ in range(3):
            assert (await http.request("GET", "/")).status == 200

    told = [record for record in caplog.records if "rate hints" in record.message]
    assert (len(told), told[0].levelno) == (1, logging.WARNING)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("after", [float("nan"), float("inf"), "7"])
async def test_hints_with_odd_numbers_are_taken_as_far_as_they_are_some(after: Any) -> None:
    limiter = RateLimiter(Window(100, 60.0, name="window"))
    hints = [RateHint("window", remaining="40", reset_after=after)]  # type: ignore[arg-type] # as headers come
    async with (
        Loopback(saying({})) as server,
        road(server, rules=Saying(hints=hints), limiters={"default": limiter}) as http,
    ):
        await http.request("GET", "/")

    assert limiter.snapshot().remaining <= 40


# -- what forgets to scrub ---------------------------------------------------------------------------------------------


def _echoed(response: Response) -> Any:
    said = response.json()["error"]
    error = Conflict(said, Answer("t", 409, code=f"no-{TOKEN}", request_id=TOKEN, body=response.text))
    error.add_note(f"heard {said}")
    vars(error)["details"] = [{"said": said, "raw": response.body}]
    cause = _Deep(said, response.body)
    vars(cause)["answer"] = response.json()
    cause.__context__ = KeyError(said)
    error.__cause__ = cause
    return error


def everything(error: BaseException | None) -> str:
    shown = []
    while error is not None:
        shown += [f"{error} {error!r} {error.args!r} {vars(error)!r}"]
        error = error.__cause__ or error.__context__
    return "\n".join(shown)


@pytest.mark.parametrize("said", [f"bad token {TOKEN}", {"code": 3, "token": TOKEN}, [TOKEN]])
async def test_a_credential_in_an_error_of_careless_rules_is_masked_wherever_they_put_it(said: Any) -> None:
    told: list[str] = []
    async with (
        Loopback(otherwise=saying({"error": said})) as server,
        road(server, rules=Saying(_echoed), auth=TokenAuth(TOKEN)) as http,
    ):
        http.events.on("retry", lambda error: told.append(everything(error)))
        with pytest.raises(Conflict) as caught:
            await http.request("GET", "/")

    assert "***" in str(caught.value)
    assert isinstance(caught.value.__cause__, _Deep)
    assert TOKEN not in everything(caught.value)


class _Stubborn(Exception):
    def __str__(self) -> str:
        return f"I say {TOKEN}"


async def test_a_cause_that_shows_a_credential_in_spite_of_all_is_cut_off() -> None:
    async with (
        Loopback(otherwise=saying({}, 400)) as server,
        road(server, rules=Saying(raising(_Stubborn())), auth=TokenAuth(TOKEN)) as http,
    ):
        with pytest.raises(ApiError) as caught:
            await http.request("GET", "/")

    assert caught.value.__cause__ is None
    assert caught.value.__notes__ == ["its cause, _Stubborn, showed a credential and is left out"]


# -- downloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
async def test_an_error_inside_a_streamed_200_is_raised_when_the_stream_opens(chunked: bool) -> None:
    reply = saying({"error": "not in your plan"})
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(reply.body), reply.body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        reply = Reply(raw=head + body)
    async with Loopback(reply) as server, road(server, rules=Saying(_members)) as http:
        with pytest.raises(Conflict, match="not in your plan"):
            async with http.stream("GET", "/"):
                pass


@pytest.mark.parametrize("size", [10, 70_000, 200_000])
@pytest.mark.parametrize("kind", ["application/json", "text/csv", "application/x-ndjson"])
async def test_a_download_that_was_looked_at_arrives_whole(size: int, kind: str) -> None:
    body = b'["' + b"x" * size + b'"]'
    asked: list[int] = []

    def rule(response: Response) -> None:
        asked.append(len(response.body))

    async with (
        Loopback(Reply(200, body, {"Content-Type": kind})) as server,
        road(server, rules=Saying(rule)) as http,
        http.stream("GET", "/") as stream,
    ):
        assert b"".join([chunk async for chunk in stream]) == body

    assert asked == ([len(body)] if size == 10 and kind == "application/json" else [])


async def test_a_refused_stream_is_repeated_like_a_request() -> None:
    def rule(response: Response) -> Any:
        return ServerError("busy", Answer("t", 503)) if response.json() == {"busy": True} else None

    async with Loopback(saying({"busy": True}), saying([1])) as server:
        async with road(server, rules=Saying(rule), clock=QuickClock()) as http, http.stream("GET", "/") as stream:
            assert b"".join([chunk async for chunk in stream]) == b"[1]"

        assert len(server.seen) == 2
