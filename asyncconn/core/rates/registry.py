"""One set of limiters for an account in each event loop of this process, whichever hub or client asks for it.

When a loop has ended, or the last hub that used the set has closed, its books go to the next one that asks.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from threading import Lock
from typing import TYPE_CHECKING

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.rates.limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncconn.core.rates.parts import Part

__all__ = ["forget_limiters", "made_limiters", "release_limiters", "shared_limiters"]

logger = logging.getLogger("asyncconn.ratelimit")

_MANY = 64  # accounts, from which on those that are idle and used by nobody are dropped now and then


class _Set:
    """The limiters of an account in one loop, and who uses them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limiters: dict[str, RateLimiter]) -> None:
        self._loop = weakref.ref(loop)
        self.limiters = limiters
        self.users: weakref.WeakSet[object] = weakref.WeakSet()
        self.told = False  # that another client asked for other limits

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it belongs to, while that lives."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    @property
    def over(self) -> bool:
        """Whether nobody can use it any more."""
        return not self.users or self.loop is None

    @property
    def idle(self) -> bool:
        """Whether there is nothing in its books."""
        books = [limiter.snapshot() for limiter in self.limiters.values()]
        return all(book.remaining == min(part.limit for part in book.parts) for book in books)


#: By account and clock: virtual clocks are clocks of their own, the machine's is one.
_sets: dict[tuple[str, Clock | None], list[_Set]] = {}
_warned: set[str] = set()
_lock = Lock()  # loops may run in several threads
_sweep_at = _MANY


def shared_limiters(
    platform: str,
    account: str,
    clock: Clock,
    user: object,
    parts: Callable[[], Mapping[str, Sequence[Part]]],
    early: dict[str, RateLimiter] | None = None,
) -> Mapping[str, RateLimiter]:
    """The limiters of ``account``, by name, on the running loop; ``user`` uses them until it is released or gone.

    ``parts`` makes what they consist of; ``early`` are limiters that were made of them before there was a loop.
    """
    loop = asyncio.get_running_loop()
    with _lock:
        _sweep()
        known = _sets.setdefault((account, None if type(clock) is SystemClock else clock), [])
        found = next((one for one in known if one.loop is loop and not one.over), None)
        if found is None:
            limiters = early or made_limiters(platform, account, clock, parts())
            if not limiters:
                return limiters
            found = _Set(loop, limiters)
            ended = [one for one in known if one.over]
            for one in ended:
                _hand_over(one.limiters, limiters)
                known.remove(one)
            if known and account not in _warned:
                _warned.add(account)
                logger.warning(
                    "%s: this account is in use on another event loop of this process: its cap now holds per loop",
                    platform,
                )
            known.append(found)
        else:
            _add_missing(platform, account, clock, found, parts())
        found.users.add(user)
        return found.limiters


def made_limiters(
    platform: str, account: str, clock: Clock, parts: Mapping[str, Sequence[Part]]
) -> dict[str, RateLimiter]:
    """New limiters of these parts, shared with nobody yet."""
    return {
        name: RateLimiter(*some, name=f"{platform}.{name}", key=account, clock=clock) for name, some in parts.items()
    }


def release_limiters(user: object) -> list[RateLimiter]:
    """``user`` uses none any more, and nobody waits in its name. Returns those that are now used by nobody.

    These are to be closed; their books are kept for the next one that asks.
    """
    unused: list[RateLimiter] = []
    with _lock:
        for one in [one for some in _sets.values() for one in some if user in one.users]:
            one.users.discard(user)
            if not one.users:
                unused.extend(one.limiters.values())
                continue
            for limiter in one.limiters.values():
                limiter.dismiss(user)
    return unused


def forget_limiters() -> None:
    """Forget every account's limiters and books, as in a new process: so that one test does not slow the next."""
    with _lock:
        _sets.clear()
        _warned.clear()


def _hand_over(old: Mapping[str, RateLimiter], new: Mapping[str, RateLimiter]) -> None:
    taken: set[tuple[int, int]] = set()  # a part that stands in several limiters is handed over once
    for name, limiter in new.items():
        if name in old:
            limiter.inherit(old[name], taken)


def _add_missing(platform: str, account: str, clock: Clock, found: _Set, parts: Mapping[str, Sequence[Part]]) -> None:
    """Clients of one account may know of different limits: a part of one name is one part."""
    known = {part.name: part for limiter in found.limiters.values() for part in limiter.parts}
    for name, some in parts.items():
        limiter = found.limiters.get(name)
        if limiter is None:
            shared = [known[part.name] if _alike(known.get(part.name), part) else part for part in some]
            found.limiters.update(made_limiters(platform, account, clock, {name: shared}))
        elif not found.told and not _same(limiter.parts, some):
            found.told = True
            logger.warning(
                "%s.%s: this account has other limits already, made by an earlier client: those hold", platform, name
            )


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


def _sweep() -> None:
    """Drop what nobody uses and nothing is counted in, whenever there are twice as many as the last time."""
    global _sweep_at
    if len(_sets) < _sweep_at:
        return
    for key, some in list(_sets.items()):
        some[:] = [one for one in some if not (one.over and one.idle)]
        if not some:
            del _sets[key]
    _sweep_at = max(_MANY, 2 * len(_sets))
