"""Datorama as its clients meet it: tokens, limits, faults of its own, and the books.

Contract: datorama sections 1, 4 and 5.
"""

from __future__ import annotations

import json
import logging
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asyncconn.sandbox.clock import MovableClock
from asyncconn.sandbox.credentials import Inventor
from asyncconn.sandbox.datorama.answers import SHELL, TOO_MANY, ApiError, Voice, json_answer
from asyncconn.sandbox.datorama.jobs import Run
from asyncconn.sandbox.datorama.limits import RATE_HEADERS, Allowance, Kind
from asyncconn.sandbox.datorama.live import Live
from asyncconn.sandbox.datorama.options import Options
from asyncconn.sandbox.datorama.queries import QUERY_PATHS, Queries
from asyncconn.sandbox.datorama.reports import Reports
from asyncconn.sandbox.datorama.resources import Resources
from asyncconn.sandbox.datorama.routes import Ask, Router
from asyncconn.sandbox.datorama.streams import Streams
from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.spelling import spelled_out
from asyncconn.sandbox.views import View, Work
from asyncconn.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.world import Place

__all__ = ["ApiCall", "Counters", "DatoramaWorld"]

_log = logging.getLogger("asyncconn.sandbox")

_UNKNOWN_STATUS = "HALTED_FOR_REVIEW"
_MOST_SHOWN = 10  # jobs of a kind

R = TypeVar("R", bound=Run)


class ApiCall(NamedTuple):
    """A call as it was counted.

    ``token`` is its index, None for an unknown one; ``at`` are monotonic seconds of the sandbox's clock.
    """

    token: int | None
    kind: Kind
    method: str
    path: str
    status: int
    at: float


@dataclass(slots=True)
class Counters:
    """Since the sandbox was made.

    ``requests``: all that reached the platform (a fault may have kept some from it); ``platform`` and ``query``: those
    with a known token, by kind, refused ones included; ``refused``: answers 429; ``unauthorized``: answers 401 and
    403; ``statuses``: answers by status.
    """

    requests: int = 0
    platform: int = 0
    query: int = 0
    refused: int = 0
    unauthorized: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class DatoramaWorld(World):
    """The embedded Datorama, with the fields of :class:`~asyncconn.sandbox.datorama.options.Options`.

    Reached as ``sandbox.datorama``, too.

        async with Sandbox(DatoramaWorld(streams=500, tokens=2)) as sandbox:
            ...
            sandbox.datorama.clock.advance(60)
            sandbox.datorama.live.streams[7700101]["enabled"] = False

    ``counters`` count all calls. Raises :class:`~asyncconn.errors.ConfigError` naming the field.
    """

    name = "datorama"
    fault_kinds = frozenset({"html_200", "no_headers", "quota_zero", "errors_200", "unknown_status"})

    @spelled_out(Options)
    def __init__(self, options: Options) -> None:
        self.counters = Counters()
        self._options = options
        self._voice = Voice(options.error_bodies)

    def __repr__(self) -> str:
        if self._place is None:
            return super().__repr__()
        return f"<DatoramaWorld {self._url or 'not open'} {len(self.tokens)} tokens, {self.live!r}>"

    # -- for the user --------------------------------------------------------------------------------------------------

    @cached_property
    def tokens(self) -> list[str]:
        """Made up, as many as were asked for."""
        inventor = Inventor(None if self._seed is None else f"datorama:{self._seed}")
        return [self._options.token_prefix + inventor.uuid() for _ in range(self._options.tokens)]

    @property
    def token(self) -> str:
        """The first token."""
        return self.tokens[0]

    @cached_property
    def clock(self) -> MovableClock:
        """The sandbox's, which can be moved on here."""
        return MovableClock(self.place.clock)

    @cached_property
    def live(self) -> Live:
        """Everything there is, to look at and to change."""
        return Live(self._options, self.clock, self._seed)

    @cached_property
    def allowances(self) -> list[Allowance]:
        """What is left to each token."""
        return [Allowance(self._options, self.clock) for _ in self.tokens]

    @cached_property
    def calls(self) -> deque[ApiCall]:
        """The last calls, as many as the sandbox keeps arrivals."""
        return deque(maxlen=self.place.keep_arrivals)

    @property
    def refused(self) -> int:
        """Answers 429."""
        return self.counters.refused

    # -- for the server ------------------------------------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """Tokens, with commas between them, and the address."""
        return {"ASYNCCONN_DATORAMA_TOKEN": ",".join(self.tokens), "ASYNCCONN_DATORAMA_BASE_URL": self.url}

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """What is below ``/v1`` and ``/services``, and whatever comes with one of the tokens."""
        return path.startswith(("/v1/", "/services/")) or path == "/v1" or self._who(headers) is not None

    def settle(self, place: Place) -> None:
        """Everything begins now."""
        super().settle(place)
        _ = self.live

    async def answer(self, call: Call) -> Answer:
        """Serve one API call."""
        self.counters.requests += 1
        token, kind = self._who(call.headers), _kind(call)
        answer = self._stranger(call) if token is None else self._serve(call, token, kind)
        self.counters.statuses[answer.status] += 1
        self.counters.unauthorized += answer.status in (401, 403)
        self.counters.refused += answer.status == 429
        self.calls.append(ApiCall(token, kind, call.method, call.path, answer.status, self.clock.now()))
        return self._dated(answer)

    def refusal(self, call: Call, status: int) -> Answer:
        """An error of this status; a 429 looks as the world's ``refusal`` says."""
        token, kind = self._who(call.headers), _kind(call)
        if status == 429:
            allowance = Allowance(self._options, self.clock) if token is None else self.allowances[token]
            return self._dated(self._too_many(allowance, kind))
        answer = self._voice.answer(ApiError(status, "The fault script of the sandbox asked for this."))
        return self._dated(answer if token is None else self._with_rates(answer, self.allowances[token]))

    def spoil(self, kind: str, answer: Answer) -> Answer:
        """``answer`` made wrong in the way of one of ``fault_kinds``."""
        match kind:
            case "html_200":
                return replace(SHELL, headers=answer.headers)
            case "no_headers":
                kept = {name: value for name, value in answer.headers.items() if name not in RATE_HEADERS}
                return replace(answer, headers=kept)
            case "quota_zero":
                return replace(answer, headers={**answer.headers, "X-DailyQuota-Remaining": "0"})
            case "errors_200":
                failed = json_answer({"queryResponseData": None, "errors": ["the query ran out of time"]})
                return replace(failed, headers=answer.headers)
        return _with_unknown_status(answer)

    # -- for the sandbox's page and control ----------------------------------------------------------------------------

    async def view(self) -> View:
        """The allowances of all tokens, and the last jobs."""
        counters, live, now = self.counters, self.live, self.clock.seconds()
        shown = {
            "calls": counters.platform,
            "queries": counters.query,
            "refused for the rate limit": counters.refused,
            "not authorized": counters.unauthorized,
            "workspaces": len(live.workspaces),
            "streams": len(live.streams),
        }
        gauges = [one for number, each in enumerate(self.allowances, 1) for one in each.gauges(f"token {number}")]
        work = [
            self._shown("job", stat, f"stream {stat.stream_id}", f"{stat.start} to {stat.end}", now)
            for stat in _last(live.stats)
        ]
        work += [self._shown("report", job, f"report {job.report_id}", "", now) for job in _last(live.report_jobs)]
        return View(shown, gauges=gauges, work=work)

    def secrets(self) -> list[str]:
        """The tokens."""
        return self.tokens

    async def reset(self) -> None:
        """Begin anew, with as many workspaces, streams and jobs as at first, and full allowances."""
        for name in ("live", "allowances", "calls", "_router"):
            self.__dict__.pop(name, None)
        self.counters = Counters()
        self._voice = Voice(self._options.error_bodies)

    def _shown(self, kind: str, run: Run, name: str, detail: str, now: float) -> Work:
        status = run.look(self._options, now, counts=False)
        return Work(kind, str(run.id), name, status, run.ended_at is None, run.reason or detail)

    # -- one call ------------------------------------------------------------------------------------------------------

    @property
    def _seed(self) -> int | str | None:
        return self.place.seed if self._options.seed is None else self._options.seed

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    @cached_property
    def _router(self) -> Router:
        parts = (Resources(self.live), Streams(self.live), Reports(self.live), Queries(self.live))
        return Router(route for part in parts for route in part.routes())

    def _who(self, headers: Mapping[str, str]) -> int | None:
        for name in ("Authorization", "token"):
            if (given := headers.get(name)) is not None:
                return self._index.get(given)
        return None

    def _stranger(self, call: Call) -> Answer:
        if call.method == "GET" and self._router.find(call.method, call.path) is None:
            return SHELL
        return json_answer({"msg": "The token is not known."}, 401)

    def _serve(self, call: Call, token: int, kind: Kind) -> Answer:
        allowance = self.allowances[token]
        if kind == "query":
            self.counters.query += 1
        else:
            self.counters.platform += 1
        if not allowance.take(kind):
            return self._too_many(allowance, kind)
        found = self._router.find(call.method, call.path)
        try:
            if found is None:
                answer = SHELL if call.method == "GET" else self._voice.answer(ApiError(404, "no such path"))
            else:
                handler, args = found
                answer = handler(Ask(token, args, call))
        except ApiError as error:
            _log.info("datorama answers %d to a %s", error.status, call.method)
            answer = self._voice.answer(error)
        return self._with_rates(answer, allowance)

    def _with_rates(self, answer: Answer, allowance: Allowance) -> Answer:
        wanted = self._options.rate_headers
        if wanted is False:
            return answer
        rates = allowance.headers()
        if wanted is not True:
            rates = {name: value for name, value in rates.items() if name in wanted}
        return replace(answer, headers={**answer.headers, **rates})

    def _too_many(self, allowance: Allowance, kind: Kind) -> Answer:
        match self._options.refusal:
            case "nine":
                return self._with_rates(json_answer({"msg": TOO_MANY}, 429), allowance)
            case "documented":
                return Answer(429, TOO_MANY.encode(), headers=allowance.documented_headers(kind))
        return Answer(429, TOO_MANY.encode())

    def _dated(self, answer: Answer) -> Answer:
        date = self.clock.utcnow() + timedelta(seconds=self._options.date_skew)
        return replace(answer, headers={**answer.headers, "Date": format_datetime(date, usegmt=True)})


def _last(runs: dict[int, R]) -> list[R]:
    """The last ones, newest first."""
    return list(islice(reversed(runs.values()), _MOST_SHOWN))


def _kind(call: Call) -> Kind:
    return "query" if call.path in QUERY_PATHS else "platform"


def _with_unknown_status(answer: Answer) -> Answer:
    """Every ``status`` of the JSON body is a word that no client knows."""
    try:
        value = json.loads(answer.body)
    except ValueError:
        return answer
    return replace(answer, body=json.dumps(_renamed(value)).encode())


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if isinstance(value, dict):
        return {
            name: _UNKNOWN_STATUS if name in ("status", "runStatus") and isinstance(each, str) else _renamed(each)
            for name, each in value.items()
        }
    return value
