"""A world: one platform as its clients meet it. A sandbox is several of them in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.errors import LifecycleError
from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.faults import Faults
from asyncconn.sandbox.log import Log
from asyncconn.sandbox.views import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncconn.sandbox.exchange import Call

__all__ = ["Place", "World"]


@dataclass(frozen=True, slots=True)
class Place:
    """What all worlds of a sandbox share: the address of its ports, its clock, fault script and seed.

    ``keep_arrivals`` bounds what is kept of the requests to look at; ``log`` has the last of them.
    """

    host: str = "127.0.0.1"
    clock: Clock = field(default_factory=SystemClock)
    faults: Faults = field(default_factory=Faults)
    seed: int | str | None = None
    keep_arrivals: int = 100_000
    log: Log = field(default_factory=Log)


class World(ABC):
    """A platform to be played; your own needs a ``name`` and :meth:`answer`, and may replace the rest.

        class Acme(World):
            name = "acme"

            async def answer(self, call: Call) -> Answer:
                return Answer(200, b'{"plan": "free"}', "application/json")

        async with Sandbox(Acme()) as sandbox: ...

    ``name`` is short and lower case: fault scripts, counters and arrivals call it so. ``fault_kinds`` are those of the
    faults from ``wrong_digest`` to ``unknown_status`` that it can play, beside those the server plays for all.

    The worlds of a sandbox share its address. One with ports of its own opens them in :meth:`open`, by a
    :class:`~asyncconn.sandbox.server.Server` each or in any other way, and closes them in :meth:`close`.
    """

    name: str = ""
    fault_kinds: frozenset[str] = frozenset()
    _place: Place | None = None
    _url: str | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url or 'not open'}>"

    @property
    def url(self) -> str:
        """The base URL. Raises :class:`~asyncconn.errors.LifecycleError` when it is not open."""
        if self._url is None:
            raise LifecycleError(f"{type(self).__name__} is not open: its address is known inside 'async with'")
        return self._url

    @property
    def place(self) -> Place:
        """Where it was put. Raises :class:`~asyncconn.errors.LifecycleError` when it is in no sandbox yet."""
        if self._place is None:
            raise LifecycleError(f"{type(self).__name__} is in no sandbox yet: put it into one with Sandbox(...)")
        return self._place

    def settle(self, place: Place) -> None:
        """Take its place in a sandbox that is made; credentials are known from here on.

        Raises :class:`~asyncconn.errors.LifecycleError` for a second time: what happened in one sandbox is no
        beginning for another.
        """
        if self._place is not None:
            raise LifecycleError(f"this {type(self).__name__} has its place already: make one for each sandbox")
        self._place = place

    def env(self) -> dict[str, str]:
        """Environment variables that lead a client here."""
        return {}

    async def open(self, url: str) -> None:
        """The sandbox listens on ``url``; begin what is to run."""
        self._url = url

    async def close(self) -> None:
        """The sandbox listens no more; let go of everything, within about a second.

        It is called, too, where :meth:`open` did not come to its end.
        """
        self._url = None

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether this world serves such a request; the first one that does gets it. All, unless replaced."""
        return True

    def takes_pieces(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether :meth:`answer` reads the body of such a request itself, from ``call.pieces``."""
        return False

    @abstractmethod
    async def answer(self, call: Call) -> Answer:
        """Carry the request out and answer it."""

    def refusal(self, call: Call, status: int) -> Answer:
        """An error answer in the platform's own format, for the fault ``status``; nothing is carried out."""
        return Answer(status, b"The fault script of the sandbox asked for this.")

    def spoil(self, kind: str, answer: Answer) -> Answer:
        """``answer`` made wrong in the way of one of ``fault_kinds``."""
        return answer

    # -- for the sandbox's page and control ----------------------------------------------------------------------------

    async def view(self) -> View:
        """What there is to see at this moment; called about once a second while somebody looks."""
        return View()

    def secrets(self) -> Iterable[str]:
        """Made-up credentials, to be left out wherever requests are shown."""
        return ()

    async def reset(self) -> None:  # noqa: B027 - most worlds have nothing to forget
        """Forget what has happened; credentials, options and the clock stay."""

    def moved(self) -> None:  # noqa: B027 - most worlds have nothing that is due
        """The sandbox's clock was moved on: do what is due by now."""
