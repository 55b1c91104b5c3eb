"""Following work from outside: each call, batch, poll and stream of a hub, by whoever wants to see them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from asyncconn.core.notes import with_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["NOBODY", "Follower", "Following", "Watcher", "Watching", "Work"]

logger = logging.getLogger("asyncconn.events")

_ANSWERS = frozenset({"state", "passing"})  # to an "ask"

#: What can be followed. Its subject: a ``Call``, a ``Batch``, a ``Poller``, a ``Supervisor``.
Work = Literal["call", "batch", "poll", "stream"]


class Follower(Protocol):
    """Follows one piece of work. What it raises is logged once, and stops nothing."""

    def event(self, name: str, data: Any) -> None:
        """Something happened on the way; see :class:`Watching`."""
        ...

    def end(self, error: BaseException | None) -> None:
        """It is over; ``error`` is what it ended in, a cancellation too."""
        ...


class Watcher(Protocol):
    """Is asked whenever a piece of work begins, in its task."""

    def __call__(self, work: Work, name: str, subject: Any) -> Follower | None:
        """Who follows this one; None if nobody does. ``name`` is its platform, or what its author calls it."""
        ...


class Following:
    """A piece of work, and those who follow it: entered where that begins, left where it ends."""

    __slots__ = ("_followers", "_watching")

    def __init__(self, watching: Watching, followers: Sequence[Follower]) -> None:
        self._watching = watching
        self._followers = followers

    def event(self, name: str, data: Any) -> None:
        """Tell them; what answers an ``ask`` in reverse, so that what they attach for it nests as blocks do."""
        for follower in reversed(self._followers) if name in _ANSWERS else self._followers:
            try:
                follower.event(name, data)
            except Exception as error:  # noqa: BLE001 - a watcher is a stranger's code and must not stop the work
                self._watching.failed(follower, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        for follower in reversed(self._followers):
            try:
                follower.end(error)
            except Exception as problem:  # noqa: BLE001 - as above
                self._watching.failed(follower, problem)


class Watching:
    """Who watches the work of a hub. While nobody does, that costs a call two looks.

    A call has the events ``attempt`` (an ``Attempted``) and ``retry`` (the error, and the seconds until the next); a
    poll ``ask`` (how often it has asked), then ``state`` (the state) or ``passing`` (the error that means "not yet"); a
    stream ``live``, ``lost`` (a ``Change``), ``gap`` (a ``Gap``) and ``final`` (the error after which it is given up).
    A batch has none.

        >>> class Told:
        ...     def event(self, name: str, data: object) -> None: ...
        ...     def end(self, error: BaseException | None) -> None:
        ...         print("over" if error is None else type(error).__name__)
        >>> watching = Watching()
        >>> stop = watching.add(lambda work, name, subject: Told())
        >>> with watching.follow("poll", "acme", "a poller"):
        ...     pass
        over
        >>> stop()
    """

    __slots__ = ("_logged", "watchers")

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []  # empty most of the time: then nothing is made for them
        self._logged: set[type] = set()

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Have ``watcher`` asked of all work that begins from now on; what is returned ends that."""
        self.watchers = [*self.watchers, watcher]

        def stop() -> None:
            self.watchers = [one for one in self.watchers if one is not watcher]

        return stop

    def follow(self, work: Work, name: str, subject: Any) -> Following:
        """Those who follow a piece of work that begins now."""
        if not self.watchers:
            return NOBODY
        followers = []
        for watcher in self.watchers:
            try:
                follower = watcher(work, name, subject)
            except Exception as error:  # noqa: BLE001 - as above
                self.failed(watcher, error)
            else:
                if follower is not None:
                    followers.append(follower)
        return Following(self, followers)

    def failed(self, who: object, error: Exception) -> None:
        """A watcher raised: the first time of its kind is logged."""
        if type(who) not in self._logged:
            self._logged.add(type(who))
            name = getattr(who, "__qualname__", type(who).__qualname__)
            logger.warning("the watcher %s raised %s: %s", name, type(error).__name__, with_notes(error))


class _Nobody(Following):
    """Nobody follows: what most work is under, at the least cost."""

    __slots__ = ()

    def event(self, name: str, data: Any) -> None:
        """Nobody hears it."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass


NOBODY = _Nobody(Watching(), ())
