"""The fault script: which requests go wrong, and how."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError
from asyncconn.sandbox.exchange import NOBODY
from asyncconn.sandbox.scripts import Planned, Script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.exchange import Call

__all__ = ["KINDS", "Fault", "Faults"]

KINDS: dict[str, str] = {
    "delay": "processed, answered `seconds` later",
    "drop_before": "not processed, the socket is closed without an answer",
    "drop_after": "processed, the socket is closed without an answer",
    "status": "not processed, answered with `status`",
    "half_body": "processed, the answer breaks off in the middle of its body",
    "stall": "not processed, never answered (with `seconds`: the socket is closed after them)",
    "stall_after": "processed, never answered (with `seconds`: the socket is closed after them)",
    "close": "processed and answered, then the keep-alive connection is closed unannounced",
    "malformed": "processed, answered 200 with a body that is neither XML nor JSON",
    "wrong_digest": "processed, answered with a wrong MD5 (only where the platform answers digests)",
    "html_200": "processed, answered 200 with an HTML page (Datorama, TCUP)",
    "no_headers": "processed, answered without the rate headers (Datorama)",
    "quota_zero": "processed, answered with nothing left of the day's quota (Datorama)",
    "errors_200": "processed, answered 200 with a query's errors (Datorama)",
    "unknown_status": "processed, every status in the answer is a word that nobody knows (Datorama)",
    "inner_500": "processed, answered 200 with an internal error inside (TCUP)",
}
PLATFORM_KINDS = frozenset(
    {"wrong_digest", "html_200", "no_headers", "quota_zero", "errors_200", "unknown_status", "inner_500"}
)
_TIMED = frozenset({"delay", "stall", "stall_after"})

Match = str | Callable[["Call"], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    ``kind`` is one of ``delay``, ``drop_before``, ``drop_after``, ``status``, ``half_body``, ``stall``,
    ``stall_after``, ``close``, ``malformed``, ``wrong_digest``, or for Datorama ``html_200``, ``no_headers``,
    ``quota_zero``, ``errors_200``, ``unknown_status``, for TCUP ``html_200`` and ``inner_500``. Which requests it
    strikes: those that
    ``match`` (a path prefix starting with ``/``, a platform's name, or a callable on the
    :class:`~asyncconn.sandbox.exchange.Call`; None is all), not the first ``after`` of them, then each
    ``every``-th (None: each), each with ``probability``, at most ``times`` (None: no end).

    ``seconds`` belongs to ``delay`` (required), ``stall`` and ``stall_after``; ``status`` (required),
    ``retry_after`` (seconds) and ``location`` belong to ``status``. Raises
    :class:`~asyncconn.errors.ConfigError` naming the field.

        >>> Fault("status", status=429, retry_after=2, times=3).status
        429
    """

    kind: str
    _: KW_ONLY
    match: Match | None = None
    times: int | None = 1
    after: int = 0
    every: int | None = None
    seconds: float | None = None
    status: int | None = None
    retry_after: float | None = None
    location: str | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _wrong("kind", self.kind, f"is not one of {', '.join(KINDS)}")
        if isinstance(self.match, str) and not self.match:
            raise _wrong("match", self.match, "is empty: give a path prefix, a platform's name, or None")
        _whole("times", self.times, at_least=1, optional=True)
        _whole("after", self.after, at_least=0)
        _whole("every", self.every, at_least=1, optional=True)
        if not (_is_number(self.probability) and 0 < self.probability <= 1):
            raise _wrong("probability", self.probability, "is not above 0 and at most 1")
        self._check_seconds()
        self._check_status()

    def _check_seconds(self) -> None:
        if self.seconds is None:
            if self.kind == "delay":
                raise _wrong("seconds", None, "is missing: a delay needs them")
        elif self.kind not in _TIMED:
            raise _wrong("seconds", self.seconds, f"has no meaning for {self.kind}")
        elif not (_is_number(self.seconds) and 0 <= self.seconds < math.inf):
            raise _wrong("seconds", self.seconds, "is not a finite number of seconds, 0 or more")

    def _check_status(self) -> None:
        if self.kind != "status":
            for name in ("status", "retry_after", "location"):
                if getattr(self, name) is not None:
                    raise _wrong(name, getattr(self, name), f"has no meaning for {self.kind}")
            return
        _whole("status", self.status, at_least=200)
        if self.status is not None and self.status > 599:
            raise _wrong("status", self.status, "is not an HTTP status from 200 to 599")
        wait = self.retry_after
        if wait is not None and not (_is_number(wait) and 0 <= wait < math.inf):
            raise _wrong("retry_after", wait, "is not a finite number of seconds, 0 or more")
        if self.location is not None and any(c in self.location for c in "\r\n\0"):
            raise _wrong("location", self.location, "cannot be a header")

    def matches(self, call: Call) -> bool:
        """Whether ``match`` picks this request; the counts are the script's business."""
        if self.match is None:
            return True
        if isinstance(self.match, str):
            return call.path.startswith(self.match) if self.match[0] == "/" else call.platform == self.match
        return self.match(call)


def _wrong(field_name: str, value: object, what: str) -> ConfigError:
    return ConfigError(f"fault: {field_name}={value!r} {what}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(name: str, value: object, *, at_least: int, optional: bool = False) -> None:
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise _wrong(name, value, f"is not a whole number, {at_least} or more")


def _check_kind(fault: Fault, players: list[str]) -> None:
    if not players:
        raise _wrong("kind", fault.kind, "is played by no world of this sandbox")
    if fault.match is not None and fault.match not in players:
        raise _wrong("kind", fault.kind, f"is not played by {fault.match}, but by {', '.join(players)}")


def _is_due(entry: Planned[Fault]) -> bool:
    turn = entry.seen - entry.fault.after
    return turn > 0 and (entry.fault.every is None or turn % entry.fault.every == 0)


class Faults(Script[Fault]):
    """Faults in the order of their adding. One request is struck by at most one: the first whose turn it is.

    ``after`` and ``every`` count all requests that match, also those that another fault struck. ``hits``
    counts, by kind, the faults that struck. ``seed`` makes ``probability`` repeatable.

    A sandbox that is entered, and then :meth:`add`, raise :class:`~asyncconn.errors.ConfigError` for a fault that can
    strike nothing there: its ``match`` names no world, or no world that it could strike plays its kind.

        >>> faults = Faults(Fault("drop_after", times=2))
        >>> faults.add(Fault("status", status=503))
        >>> len(faults)
        2
    """

    def __init__(self, *faults: Fault, seed: int | str | None = None) -> None:
        self._kinds: dict[str, frozenset[str]] = {}
        self._all_met = False
        super().__init__(*faults)
        self._random = random.Random(seed)  # noqa: S311 - decides which request fails, protects nothing

    def __repr__(self) -> str:
        return f"<Faults {len(self)} to come, hits={dict(self.hits)}>"

    def add(self, *faults: Fault) -> None:
        """Append; those added earlier come first."""
        if self._all_met:
            self._check(faults)
        super().add(*faults)

    def meet(self, world: str, kinds: frozenset[str]) -> None:
        """For servers: a world whose requests it will see, and the kinds of its own that this one plays."""
        self._kinds[world] = self._kinds.get(world, frozenset()) | kinds

    def begin(self) -> None:
        """For the sandbox: all worlds have been met, and each fault must be able to strike one of them."""
        self._check([entry.fault for entry in self.planned])
        self._all_met = True

    def _check(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            match = fault.match
            if match is not None and (callable(match) or match[0] == "/"):
                continue  # which worlds it meets is for the requests to say
            if match is not None and match not in self._kinds and match != NOBODY:
                there = ", ".join(self._kinds)
                raise _wrong("match", match, f"is no world of this sandbox; give {there}, or a path that begins with /")
            if fault.kind in PLATFORM_KINDS:
                _check_kind(fault, [name for name, kinds in self._kinds.items() if fault.kind in kinds])

    def take(self, call: Call, playable: frozenset[str] = frozenset()) -> Fault | None:
        """The fault for this request, counted as a hit, or None.

        ``playable`` are the platform's own kinds: a kind of that sort never strikes a platform that cannot
        play it.
        """
        chosen: Planned[Fault] | None = None
        for entry in self.planned:
            fault = entry.fault
            if not entry.on or (fault.kind in PLATFORM_KINDS and fault.kind not in playable):
                continue
            if not fault.matches(call):
                continue
            entry.seen += 1
            if chosen is None and not entry.used_up and _is_due(entry) and self._strikes(fault):
                chosen = entry
        return None if chosen is None else self.strike(chosen)

    def _strikes(self, fault: Fault) -> bool:
        return fault.probability >= 1 or self._random.random() < fault.probability

    @classmethod
    def parse(cls, text: str, *, seed: int | str | None = None) -> Faults:
        """A script from one line: faults separated by commas, each ``KIND[:VALUE][*TIMES] [name=value ...]``.

        VALUE is the seconds of ``delay``, ``stall`` and ``stall_after`` or the code of ``status``; TIMES is a
        number or ``all``; names are the fields of :class:`Fault`. Raises
        :class:`~asyncconn.errors.ConfigError` naming the item.

            >>> len(Faults.parse("delay:0.5*3, status:429*2 retry_after=1 match=panoply, drop_after"))
            3
        """
        items = [item for item in (part.strip() for part in text.split(",")) if item]
        return cls(*(_parse_item(item) for item in items), seed=seed)


def _parse_item(item: str) -> Fault:
    head, *options = item.split()
    head, star, times = head.partition("*")
    kind, colon, value = head.partition(":")
    fields: dict[str, Any] = {}
    try:
        if star:
            fields["times"] = None if times == "all" else _number("times", times, int)
        if colon:
            name = "status" if kind == "status" else "seconds"
            fields[name] = _number(name, value, int if name == "status" else float)
        for option in options:
            name, equals, value = option.partition("=")
            if not equals or name not in _OPTIONS:
                raise ConfigError(f"fault: {option!r} is not name=value with a name of {', '.join(_OPTIONS)}")
            if name in fields:
                raise ConfigError(f"fault: {name} is given twice")
            all_times = name == "times" and value == "all"
            fields[name] = None if all_times else _number(name, value, _OPTIONS[name])
        return Fault(kind, **fields)
    except ConfigError as error:
        raise ConfigError(f"{error.message} (in {item!r})") from None


_OPTIONS: dict[str, type] = {
    "match": str,
    "times": int,
    "after": int,
    "every": int,
    "seconds": float,
    "status": int,
    "retry_after": float,
    "location": str,
    "probability": float,
}


def _number(name: str, value: str, kind: type) -> object:
    try:
        return kind(value)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise _wrong(name, value, f"is not {what}") from None
