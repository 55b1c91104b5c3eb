"""What answers ``/`` in a browser, and ``/_sandbox``: the page, and the calls of the control."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.control.document import openapi, reference
from asyncconn.sandbox.control.files import FILES, Page
from asyncconn.sandbox.control.guard import objection
from asyncconn.sandbox.control.operations import BASE, MOST_BYTES, MOST_ROWS, SECONDS, Refused, find
from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.faults import Fault, Faults
from asyncconn.sandbox.log import masked
from asyncconn.sandbox.panoply import Busy, PanoplyWorld
from asyncconn.sandbox.tcup import StreamFault, TcupWorld
from asyncconn.sandbox.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from typing import Protocol

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.panoply.warehouse import Found
    from asyncconn.sandbox.scripts import Planned, Script

    class Stage(Protocol):
        """The sandbox, as the desk knows it."""

        worlds: tuple[World, ...]
        faults: Faults
        clock: MovableClock

        @property
        def url(self) -> str:
            """Where it is."""
            ...

        @property
        def requests(self) -> Counter[str]:
            """How many, by platform."""
            ...

        async def reset(self) -> None:
            """Forget what has happened."""
            ...

        def advance(self, seconds: float) -> None:
            """Move the clock on."""
            ...


__all__ = ["Desk"]

_log = logging.getLogger("asyncconn.sandbox")

_PACE = 1.0  # seconds between two events
_FRESH = 0.9  # seconds for which all that listen are told the same state: a little less than they wait
_LAST = 40  # requests in the state
_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Desk(World):
    """Answers what belongs to the sandbox itself; it is no platform, so that nothing of it is counted or struck."""

    name = "_sandbox"

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._telling = asyncio.Lock()
        self._told, self._told_at = b"", -math.inf

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """What is below ``/_sandbox``; and ``/`` for a browser, which asks for HTML: no client of a platform does."""
        if path == "/":
            return method in ("GET", "HEAD") and "text/html" in headers.get("Accept", "")
        return path == BASE or path.startswith(f"{BASE}/")

    async def answer(self, call: Call) -> Answer:
        """Carry it out."""
        try:
            page = FILES.get(call.path)
            refused = objection(call.peer, call.headers, navigates=page is not None and page.is_entrance)
            if refused is not None:
                raise Refused(403, refused)
            answer = await self._operate(call) if page is None else _shown(page, call)
        except Refused as refused:
            answer = _json({"error": refused.message}, refused.status, refused.headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is owed JSON with the safe headers
            _log.exception("a call of the sandbox's control failed")
            answer = _json({"error": f"the sandbox failed: {type(error).__name__}; its log says more"}, 500)
        return Answer(answer.status, answer.body, answer.content_type, {**answer.headers, **_SAFE}, answer.pieces)

    # -- the calls -----------------------------------------------------------------------------------------------------

    async def _operate(self, call: Call) -> Answer:
        operation, args = find(call.method, call.path)
        given = {**args, **operation.read_query(call), **operation.read_body(call)}
        try:
            match operation.name:
                case "state":
                    return _json(await self._state())
                case "events":
                    return Answer(200, content_type="text/event-stream", pieces=self._events())
                case "reset":
                    await self._stage.reset()
                case "clock":
                    return _json(self._clock())
                case "move_clock":
                    self._move_clock(**given)
                    return _json(self._clock())
                case "sql":
                    return await self._sql(**given)
                case "requests":
                    return _json(self._requests(**given))
                case "openapi":
                    return _json(openapi())
                case name:
                    verb, _, kind = name.partition("_")
                    said = self._on_faults(verb, kind.removesuffix("s"), given)
                    return Answer(operation.status) if said is None else _json(said, operation.status)
        except ConfigError as error:
            raise Refused(400, error.message) from None
        except LifecycleError:
            raise Refused(503, "the sandbox is closing") from None
        return Answer(operation.status)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: 1000\n\n"
        with suppress(LifecycleError):  # it is closing, and so does this end
            while True:
                yield await self._event()
                await asyncio.sleep(_PACE)

    async def _event(self) -> bytes:
        """The state as an event: looked at once, however many listen."""
        loop = asyncio.get_running_loop()
        async with self._telling:
            if loop.time() - self._told_at >= _FRESH:
                self._told = b"event: state\ndata: " + _encoded(await self._state()) + b"\n\n"
                self._told_at = loop.time()
            return self._told

    async def _state(self) -> dict[str, Any]:
        stage, secrets = self._stage, self._secrets()
        views = {world.name: asdict(await world.view()) for world in stage.worlds}
        for view in views.values():
            view["tables"] = {masked(name, secrets): rows for name, rows in view["tables"].items()}
        state: dict[str, Any] = {
            "url": stage.url,
            "clock": self._clock(),
            "worlds": {
                world.name: {"url": world.url, "requests": stage.requests[world.name], **views[world.name]}
                for world in stage.worlds
            },
            "faults": _listed(stage.faults),
            "requests": self._requests(_LAST)["requests"],
        }
        if (tcup := self._tcup()) is not None:
            state["stream_faults"] = _listed(tcup.streams.faults)
        shown: dict[str, Any] = _without(state, secrets)
        return shown

    def _secrets(self) -> list[str]:
        return [secret for world in self._stage.worlds for secret in world.secrets()]

    def _clock(self) -> dict[str, Any]:
        clock = self._stage.clock
        return {"now": clock.utcnow().isoformat(timespec="milliseconds"), "moved_seconds": clock.moved}

    def _move_clock(self, seconds: float | None = None, until: str | None = None) -> None:
        if (seconds is None) == (until is None):
            raise Refused(400, "give seconds, or until, and not both")
        if until is not None:
            seconds = (_moment(until) - self._stage.clock.utcnow()).total_seconds()
            if seconds < 0:
                raise Refused(400, "until has passed: the sandbox's clock does not go back")
        self._stage.advance(seconds or 0.0)

    async def _sql(
        self, statement: str, params: Sequence[Any] = (), *, most: int = MOST_ROWS, texts: bool = False
    ) -> Answer:
        world = next((one for one in self._stage.worlds if isinstance(one, PanoplyWorld)), None)
        if world is None:
            raise Refused(404, "this sandbox has no Panoply, so there are no tables")
        try:
            found = await world.ask(statement, *params, most=most, seconds=SECONDS, most_bytes=MOST_BYTES)
        except Busy as busy:
            raise Refused(503, str(busy), {"Retry-After": f"{SECONDS:.0f}"}) from None
        return await asyncio.to_thread(_found, found, texts=texts)  # it may be long

    def _requests(self, last: int = 100, platform: str | None = None) -> dict[str, Any]:
        secrets = self._secrets()
        log = self._stage.worlds[0].place.log
        shown = [entry.shown(secrets) for entry in log.last(last, platform)]
        return {"requests": shown, "total": dict(self._stage.requests)}

    # -- faults --------------------------------------------------------------------------------------------------------

    def _tcup(self) -> TcupWorld | None:
        return next((one for one in self._stage.worlds if isinstance(one, TcupWorld)), None)

    def _on_faults(self, verb: str, kind: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if kind == "fault":
            return _on_script(self._stage.faults, verb, given, _faults)
        if (tcup := self._tcup()) is None:
            raise Refused(404, "this sandbox has no TCUP, so there are no streams")
        return _on_script(tcup.streams.faults, verb, given, lambda fields: [StreamFault(**fields)])


def _on_script(script: Script[Any], verb: str, given: dict[str, Any], make: Any) -> dict[str, Any] | None:
    """One of the five verbs of a script; ``make`` makes faults of what was given."""
    match verb:
        case "list":
            return _listed(script)
        case "clear":
            script.clear()
            return None
        case "add":
            before = len(script.planned)
            script.add(*make(given))
            return {"faults": [_planned(entry) for entry in script.planned[before:]]}
    entry = next((one for one in script.planned if one.number == given["number"]), None)
    if entry is None:
        raise Refused(404, f"there is no fault {given['number']}")
    if verb == "remove":
        script.remove(entry.fault)
        return None
    entry.on = given["on"]
    return _planned(entry)


def _faults(given: dict[str, Any]) -> Iterable[Fault]:
    script = given.pop("script", None)
    if script is None:
        if "kind" not in given:
            raise Refused(400, "kind is missing (or script in its place)")
        return [Fault(**given)]
    if given:
        raise Refused(400, "give a script, or the fields of one fault, and not both")
    return [entry.fault for entry in Faults.parse(script).planned]


def _listed(script: Script[Any]) -> dict[str, Any]:
    return {"faults": [_planned(entry) for entry in script.planned], "hits": dict(script.hits)}


def _planned(entry: Planned[Any]) -> dict[str, Any]:
    fault = entry.fault
    said = {each.name: getattr(fault, each.name) for each in fields(fault)}
    if callable(said["match"]):
        said["match"] = "(a function of the program)"
    return {"number": entry.number, "on": entry.on, "seen": entry.seen, "struck": entry.struck, **said}


# -- answers -----------------------------------------------------------------------------------------------------------


def _shown(page: Page, call: Call) -> Answer:
    if call.method not in ("GET", "HEAD"):
        raise Refused(405, "this takes GET", {"Allow": "GET, HEAD"})
    body = reference().encode() if page.file is None else page.file.read_bytes()
    return Answer(200, body, page.content_type)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, _encoded(value) + b"\n", "application/json", headers or {})


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _without(value: Any, secrets: Sequence[str]) -> Any:
    """The same, with stars for the secrets in its texts."""
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, dict):
        return {name: _without(each, secrets) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without(each, secrets) for each in value]
    return value


def _found(found: Found, *, texts: bool) -> Answer:
    rows = [[_value(value, texts=texts) for value in row] for row in found.rows]
    return _json({"columns": found.columns, "rows": rows, "truncated": found.truncated})


def _value(value: Any, *, texts: bool) -> Any:
    """A value of SQLite as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or not texts else str(value)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"until is no moment like 2030-01-31T12:00:00Z: {text[:100]!r}") from None
    if moment.tzinfo is None:
        raise Refused(400, "until needs its offset from UTC, or Z")
    return moment
