"""One request and one answer, as worlds and the fault script see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from asyncconn.sandbox.sockets import Socket

__all__ = ["NOBODY", "Answer", "Arrival", "BrokenOff", "Call"]

NOBODY = "-"  # the name in a call that no world serves


class BrokenOff(Exception):
    """A request's body did not come to its end. A world may let it pass: the server hangs up."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read to its end. Headers and body may hold credentials, so the repr leaves them out.

    ``platform`` is the name of the world that serves it, ``path`` is percent-decoded, ``query`` is not, ``target`` is
    both as they came. Where the world takes the body in pieces, it is read from ``pieces`` as it arrives, which raise
    :class:`BrokenOff` when it does not end well; ``body`` is empty then. ``peer`` is the address it came from.
    """

    platform: str
    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    pieces: AsyncIterator[bytes] | None = field(default=None, repr=False)
    target: str = field(default="", repr=False)
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform says: ``body`` goes out as it is, with its length.

    ``pieces`` go out instead as they are made; ``length`` is their bytes together, None where that is not known. They
    may be without end: the generator is closed when the sandbox ends, or at the first piece for a client that is gone.

    ``upgrade`` turns the connection into a WebSocket and talks on it (with one of ``protocols``, if given); when it
    returns, the socket is closed. The sandbox's end cancels it, and closes the socket with 1001. With ``own_pings`` it
    is given the client's pings and pongs, too, and answers them itself.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | AsyncIterable[bytes] | None = field(default=None, repr=False)
    length: int | None = None
    upgrade: Callable[[Socket], Awaitable[None]] | None = field(default=None, repr=False)
    protocols: Sequence[str] = ()
    own_pings: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request's arrival: ``at`` in monotonic seconds of the event loop, before its body was read."""

    at: float
    platform: str
    method: str
    path: str
