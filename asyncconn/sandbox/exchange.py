"""One request and one answer, as the platforms and the fault script see them; no aiohttp in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Answer", "Arrival", "Call", "Platform"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read to its end. Headers and body may hold credentials, so the repr leaves them out.

    ``platform`` is the name of the platform that serves it, ``path`` is percent-decoded, ``query`` is not,
    ``target`` is both as they came.
    """

    platform: str
    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    target: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform says: ``body`` goes out as it is, with its length.

    A large file goes out as ``pieces`` instead, made while they are sent; ``length`` is their bytes together.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = field(default=None, repr=False)
    length: int = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request's arrival: ``at`` in monotonic seconds of the event loop, before its body was read."""

    at: float
    platform: str
    method: str
    path: str


class Platform(Protocol):
    """What the server needs from a simulated platform; all else is between the platform and its user."""

    @property
    def name(self) -> str:
        """Short and lower case: it names the platform in fault scripts, counters and arrivals."""
        ...

    @property
    def fault_kinds(self) -> frozenset[str]:
        """Fault kinds that only this platform can play, beside those the server plays for all."""
        ...

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether this platform serves such a request."""
        ...

    async def answer(self, call: Call) -> Answer:
        """Carry the request out and answer it."""
        ...

    def refusal(self, call: Call, status: int) -> Answer:
        """An error answer in the platform's own format, for the fault ``status``; nothing is carried out."""
        ...

    def spoil(self, kind: str, answer: Answer) -> Answer:
        """``answer`` made wrong in the way of one of ``fault_kinds``."""
        ...

    def env(self) -> dict[str, str]:
        """Environment variables that lead a client here."""
        ...

    async def open(self, url: str) -> None:
        """The server listens on ``url``."""
        ...

    def close(self) -> None:
        """The server has stopped; let go of everything, without waiting long."""
        ...
