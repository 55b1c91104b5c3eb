"""A request as a credential sees it, once for each attempt, to sign it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multidict import MultiDict

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["Outgoing"]


class Outgoing:
    """One attempt, about to be sent: what an ``Auth.sign`` reads, and adds to.

    ``method`` in capitals, ``url`` as it will be sent, ``headers`` and ``query`` to add to (``request.headers["Date"] =
    ...``, ``request.query["sig"] = ...``), and the ``body`` as bytes: empty where there is none, None where it is
    streamed, so that nobody can know it yet.

        >>> class Signed(Auth):
        ...     async def sign(self, request: Outgoing) -> None:
        ...         digest = hmac.new(self._key, request.body or b"", "sha256").hexdigest()
        ...         request.headers["X-Signature"] = digest
    """

    __slots__ = ("_before", "body", "headers", "method", "query", "url")

    def __init__(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.query: MultiDict[str] = MultiDict(url.query)
        self.body = body
        self._before = dict(headers)

    def __repr__(self) -> str:  # headers and query may hold credentials
        return f"<Outgoing {self.method} {self.url.path}>"

    def address(self) -> URL:
        """The URL, with what was added to the query."""
        if self.query == MultiDict(self.url.query):
            return self.url  # encoded as the caller wrote it
        return self.url.with_query(self.query)

    def added(self) -> dict[str, str]:
        """The headers that were added or changed: they may show who asks."""
        return {name: value for name, value in self.headers.items() if self._before.get(name) != value}
