"""What an account may use, once in each event loop of this process, whichever hub or client asks: limiters and places.

When a loop has ended, or the last hub that used them has closed, the books go to the next one that asks.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.core.rates.parts import BasePart, Part
from asyncconn.core.rates.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncconn.core.rates.parts import RateSnapshot

__all__ = [
    "AccountFigures", "RateFigures", "Rates", "Room", "Share", "early_share", "figures_of", "forget_limiters",
    "fresh_parts", "release_limiters", "share_of",
]  # fmt: skip

logger = logging.getLogger("asyncconn.ratelimit")

#: What limits an account: a part, several that hold together, or a mapping from the name of a kind of call to either.
Rates = Part | Sequence[Part] | Mapping[str, Part | Sequence[Part]] | None

_SHORT = 8  # characters of a fingerprint that is shown
_MANY = 64  # accounts, from which on those that are idle and used by nobody are dropped now and then


def fresh_parts(rates: Rates) -> dict[str, list[Part]]:
    """Unused twins of all parts, by the name of a kind of call; one that stands in several places stays one.

    >>> shared = Window(10, 1.0)
    >>> sorted(fresh_parts({"default": shared, "query": [shared, Window(60, 60.0, name="minute")]}))
    ['default', 'query']
    """
    named = {} if rates is None else rates if isinstance(rates, Mapping) else {"default": rates}
    twins: dict[int, Part] = {}

    def twin(part: Part) -> Part:
        return twins.get(id(part)) or twins.setdefault(id(part), part.fresh())

    several = {name: some if isinstance(some, Sequence) else [some] for name, some in named.items()}
    return {name: [twin(one) for one in some] for name, some in several.items()}


class Room:
    """Room for so many at once, first come, first served: a semaphore that costs next to nothing while there is some.

    ``free`` places of ``size``. Who takes one gives it back by :meth:`leave`.

    >>> room = Room(1)
    >>> room.enter_nowait(), room.enter_nowait()
    (True, False)
    """

    def __init__(self, size: int) -> None:
        self.free = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(not future.done() for future in self._waiting)

    def enter_nowait(self) -> bool:
        """Take a place if there is one that nobody waits for."""
        if self.free > 0:
            self.free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Wait in line for a place, and take it."""
        if self.enter_nowait():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()  # it was handed over in the very turn in which the waiter was cancelled
            raise

    def leave(self) -> None:
        """Give a place back, or on to the first in line."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.free += 1


@dataclass(slots=True, weakref_slot=True, repr=False, eq=False)
class Share:
    """What one service of an account uses: its ``limiters`` by name, and the account's ``places``.

    The services of an account share the parts, so that together they keep to the limits, and each has limiters of its
    own, so that a pause that one of them asks for does not hold the others. As long as somebody has it, the account is
    not forgotten.
    """

    limiters: Mapping[str, RateLimiter]
    places: Room
    services: Mapping[str, Mapping[str, RateLimiter]] = field(default_factory=dict)

    def everywhere(self) -> Iterator[RateLimiter]:
        """The limiters of all services of the account."""
        for limiters in self.services.values():
            yield from limiters.values()


@dataclass(frozen=True, slots=True)
class RateFigures:
    """One ``limit`` of an account, by its name; ``snapshot`` has the limiter's books.

    ``service`` is the address that this limiter is for: those of one account share their parts.
    """

    limit: str
    service: str
    snapshot: RateSnapshot


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """An account at one moment: requests ``in_flight`` of so many ``places``, others ``waiting`` for one; ``rates``.

    ``account`` is a fingerprint of its address and credential, from which neither can be had.
    """

    platform: str
    account: str
    places: int
    in_flight: int
    waiting: int
    rates: tuple[RateFigures, ...]


class _Account:
    """The limiters of an account in one loop, and who uses them."""

    def __init__(self, name: str, key: str, clock: Clock, places: int) -> None:
        self._name = name
        self._key = key
        self._clock = clock
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._most = places
        self._places = Room(places)
        self.services: dict[str, dict[str, RateLimiter]] = {}
        self.users: weakref.WeakSet[object] = weakref.WeakSet()
        self._shares: weakref.WeakSet[Share] = weakref.WeakSet()  # of transports, which may be gone before their hub
        self._told = False  # that another client asked for something else
        self._before: list[_Account] = []  # whose books it takes over
        self._taken: set[tuple[int, int]] = set()  # parts that were taken over: one in several limiters is, once

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it belongs to, while that lives."""
        loop = None if self._loop is None else self._loop()
        return None if loop is None or loop.is_closed() else loop

    @property
    def over(self) -> bool:
        """Whether nobody can use it any more."""
        return not self.users or self.loop is None

    @property
    def idle(self) -> bool:
        """Whether there is nothing in its books: no call that counts, no pause, no place that is taken."""
        now, limiters = self._clock.now(), self.limiters()
        return (
            self._places.free == self._most
            and not any(limiter.snapshot().paused_for for limiter in limiters)
            and all(_unused(part, now) for limiter in limiters for part in limiter.parts)
        )

    @property
    def shown(self) -> bool:
        """Whether there is anything to tell of it."""
        return bool(self._shares) or not self.idle

    def forgettable(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the next who asks for it may get a new one. Of another loop's, only what is over can be looked at."""
        if not self.over:
            settled = not any(_settles(part) for limiter in self.limiters() for part in limiter.parts)
            if self._shares or self.loop is not loop or not settled:
                return False
        return self.idle

    def limiters(self) -> list[RateLimiter]:
        """Those of all services."""
        return [limiter for limiters in self.services.values() for limiter in limiters.values()]

    def figures(self) -> AccountFigures:
        """What can be read of it."""
        rates = [
            RateFigures(name, service, limiter.snapshot())
            for service, limiters in self.services.items()
            for name, limiter in limiters.items()
        ]
        account = self._key.rpartition(":")[2][:_SHORT]
        room = self._places
        return AccountFigures(self._name, account, self._most, self._most - room.free, room.waiting, tuple(rates))

    def settle(self, loop: asyncio.AbstractEventLoop, before: list[_Account]) -> None:
        """Belong to ``loop``, and take over the books of those that are over."""
        self._loop = weakref.ref(loop)
        self._before = before
        for one in before:
            one._before = []  # it has taken these over: no chain of all loops there ever were
        for service, limiters in self.services.items():
            self._inherit(service, limiters)

    def share(self, service: str, rates: Rates, places: int) -> Share:
        """What ``service`` may use. The first client's rates and places hold; another's are warned of, once."""
        known = self.services.setdefault(service, {})
        anywhere = {part.name: part for limiter in self.limiters() for part in limiter.parts}
        added: dict[str, RateLimiter] = {}
        others = [] if places == self._most else [self._name]  # where this client knows something else
        for name, some in fresh_parts(rates).items():
            if name in known:
                if not _same(known[name].parts, some):
                    others.append(f"{self._name}.{name}")
                continue
            twin = next((limiters[name] for limiters in self.services.values() if name in limiters), None)
            there = anywhere if twin is None else {part.name: part for part in twin.parts}
            parts = [there[one.name] if _alike(there.get(one.name), one) else one for one in some]
            if twin is not None and not _same(twin.parts, some):
                others.append(f"{self._name}.{name}")
            added[name] = RateLimiter(*parts, name=f"{self._name}.{name}", key=self._key, clock=self._clock)
        known.update(added)
        self._inherit(service, added)
        if others and not self._told:
            self._told = True
            what = ", ".join(others)
            logger.warning("%s: this account has other limits already, made by an earlier client: those hold", what)
        share = Share(known, self._places, self.services)
        self._shares.add(share)
        return share

    def _inherit(self, service: str, limiters: Mapping[str, RateLimiter]) -> None:
        for old in self._before:
            for name, limiter in limiters.items():
                theirs = old.services.get(service, {}).get(name)
                if theirs is None:  # another address of it: what counts is counted in the parts
                    theirs = next((some[name] for some in old.services.values() if name in some), None)
                if theirs is not None:
                    limiter.inherit(theirs, self._taken)


#: By account and clock: virtual clocks are clocks of their own, the machine's is one.
_accounts: dict[tuple[str, Clock | None], list[_Account]] = {}
_warned: set[str] = set()
_lock = Lock()  # loops may run in several threads
_sweep_at = _MANY


def share_of(
    platform: str,
    account: str,
    service: str,
    rates: Rates,
    places: int,
    *,
    clock: Clock,
    user: object,
    early: dict[str, _Account],
) -> tuple[Share, bool]:
    """What ``service`` may use of ``account``, and whether that is so for good: on a running loop it is.

    ``user`` uses it until it is released or gone. ``early`` keeps what was made before there was a loop; on the loop
    that becomes everybody's, or gives way to what is there already.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        if account not in early:
            early[account] = _Account(platform, account, clock, places)
        return early[account].share(service, rates, places), False
    with _lock:
        _sweep(loop)
        known = _accounts.setdefault((account, None if type(clock) is SystemClock else clock), [])
        found = next((one for one in known if one.loop is loop and not one.over), None)
        made_before = early.pop(account, None)
        if found is None:
            found = made_before or _Account(platform, account, clock, places)
            ended = [one for one in known if one.over]
            for one in ended:
                known.remove(one)
            found.settle(loop, ended)
            if known and rates is not None and account not in _warned:
                _warned.add(account)
                logger.warning(
                    "%s: this account is in use on another event loop of this process: its cap now holds per loop",
                    platform,
                )
            known.append(found)
        found.users.add(user)
        return found.share(service, rates, places), True


def early_share(platform: str, clock: Clock, rates: Rates, places: int) -> Share:
    """One that nothing goes through: it is not known yet who asks."""
    return _Account(platform, platform, clock, places).share("", rates, places)


def figures_of(user: object) -> list[AccountFigures]:
    """What can be read of the accounts that ``user`` uses, and of those it used that still count. On their loop."""
    with _lock:
        used = [one for some in _accounts.values() for one in some if user in one.users]
    return [one.figures() for one in used if one.shown]


def release_limiters(user: object) -> list[RateLimiter]:
    """``user`` uses none any more, and nobody waits in its name. Returns those that are now used by nobody.

    These are to be closed; their books are kept for the next one that asks.
    """
    unused: list[RateLimiter] = []
    with _lock:
        for one in [one for some in _accounts.values() for one in some if user in one.users]:
            one.users.discard(user)
            if not one.users:
                unused.extend(one.limiters())
                continue
            for limiter in one.limiters():
                limiter.dismiss(user)
    return unused


def forget_limiters() -> None:
    """Forget every account's limiters and books, as in a new process: so that one test does not slow the next."""
    global _sweep_at
    with _lock:
        _accounts.clear()
        _warned.clear()
        _sweep_at = _MANY


def _alike(known: Part | None, part: Part) -> bool:
    return known is not None and _figures(known) == _figures(part)


def _same(known: Sequence[Part], parts: Sequence[Part]) -> bool:
    return list(map(_figures, known)) == list(map(_figures, parts)) and all(map(_kept_alike, known, parts))


def _kept_alike(known: Part, part: Part) -> bool:
    """Whether what ``part`` wants counted in a store, a quota's file say, is counted there."""
    store = getattr(part, "store", None)
    return store is None or store == getattr(known, "store", None)


def _figures(part: Part) -> tuple[object, ...]:
    return type(part), part.name, part.limit, part.period


def _unused(part: Part, now: float) -> bool:
    """Whether a new one in its place would allow the same."""
    if isinstance(part, Quota):
        return part.unused(now)
    books = part.snapshot(now)
    return books.remaining == books.limit and books.resets_in <= 0


def _settles(part: Part) -> bool:
    """Whether something is to be settled outside when it is closed."""
    if isinstance(part, Quota):
        return part.store is not None
    return getattr(type(part), "aclose", None) is not BasePart.aclose


def _sweep(loop: asyncio.AbstractEventLoop) -> None:
    """Drop what nobody uses and nothing is counted in, whenever there are twice as many as the last time."""
    global _sweep_at
    if len(_accounts) < _sweep_at:
        return
    for key, some in list(_accounts.items()):
        some[:] = [one for one in some if not one.forgettable(loop)]
        if not some:
            del _accounts[key]
    _sweep_at = max(_MANY, 2 * len(_accounts))
