"""What every noun of a client needs: calls by name, and what their answers become: one thing, many, pages of them.

A noun is a few rows in a table of :class:`~asyncconn.http.routes.Routes`, and a line for each verb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from asyncconn.core.paging import Page, Pager
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.http.pages import Found, LinkHeader, NextPage, NextUrl, items_of, way_of
from asyncconn.http.shapes import readied, shaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.core.decoding import Json
    from asyncconn.http.response import Response
    from asyncconn.http.routes import Routes
    from asyncconn.http.transport import Transport

__all__ = ["Caller", "Calling", "Resource"]

T = TypeVar("T")


class Caller(Protocol):
    """What a noun asks of its client: nothing but a call by its name."""

    async def request(self, name: str, *, ids: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """The call of that name, with ``ids`` in its path. ``options`` are those of ``Transport.request``."""
        ...


class Calling(Unpicklable):
    """The :class:`Caller` of a client that has one transport and one table."""

    def __init__(self, http: Transport, routes: Routes) -> None:
        self._http = http
        self.routes = routes

    async def request(self, name: str, *, ids: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """The call of that name. Raises ``ConfigError`` for a name or an id that cannot be."""
        method, path = self.routes.resolve(name, **(ids or {}))
        return await self._http.request(method, path, **{**self.routes.options(name), **options})


class Resource(Unpicklable):
    """A noun of a client. ``kind`` is what an answer becomes: a pydantic model, a dataclass, a msgspec struct, a dict.

        >>> ROUTES = Routes({"orders.list": Route("GET", "/v1/orders"), "orders.get": Route("GET", "/v1/orders/{id}")})
        >>> class Orders(Resource):
        ...     def list(self) -> Pager[Order]:
        ...         return self._pages(Order, "orders.list", items="data", next="cursor")
        ...     async def get(self, id: str) -> Order:
        ...         return await self._one(Order, "orders.get", ids={"id": id})
        >>> class Acme(Connector):
        ...     platform = Platform("acme")
        ...     def __init__(self, **options: Any) -> None:
        ...         super().__init__(**options)
        ...         self.orders = Orders(Calling(self.http, ROUTES))

    ``options`` of a call are its ``ids`` and those of ``Transport.request``. An answer of another shape raises
    ``ProtocolError``, or what a platform says by ``misfit``.
    """

    _elsewhere = "make a client there, and ask it; of its objects hand over the id, or what is in raw"

    misfit: ClassVar[type[ProtocolError]] = ProtocolError

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _json(self, name: str, **options: Any) -> Json:
        """An answer of which nobody says in which shape it is."""
        found: Json = self._read(await self._caller.request(name, **options))
        return found

    async def _one(self, kind: type[T], name: str, **options: Any) -> T:
        """One thing."""
        await readied(kind)
        return self._made(kind, await self._json(name, **options), **options)

    async def _many(self, kind: type[T], name: str, **options: Any) -> list[T]:
        """All that an answer holds: what was written, or found."""
        await readied(kind)
        return self._all(kind, await self._json(name, **options), **options)

    def _pages(
        self,
        kind: type[T],
        name: str,
        *,
        items: str = "",
        next: str | NextPage | None = None,  # noqa: A002 - what documentations call it
        param: str = "cursor",
        params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Pager[T]:
        """A list: ``items`` is the member of an answer that holds it, dotted; empty if the answer is the list itself.

        ``next`` is the member with the cursor for the parameter ``param``, or a way that counts: ``Offset``,
        ``PageNumber``. Without it the first page is the whole list.
        """
        way = None if next is None else way_of(next, param)
        if isinstance(way, NextUrl | LinkHeader):
            raise ConfigError(f"{name}: an address is no call of the table: follow links with http.pages")

        async def fetch(cursor: Any) -> Page[T]:
            await readied(kind)
            asked = {**(params or {}), **(way.params(cursor) if way else {})}
            answer = await self._caller.request(name, params=asked, **options)
            found = self._read(answer)
            made = self._all(kind, items_of(found, items, name, self.misfit) if items else found, **options)
            after = way.after(cursor, Found(found, answer.headers, len(made), answer.path, name)) if way else None
            return Page(made, after)

        return Pager(fetch)

    # -- what a platform says of its own answers -----------------------------------------------------------------------

    def _read(self, answer: Response) -> Any:
        """The JSON of an answer, None for an empty one."""
        return answer.json() if answer.body else None

    def _made(self, kind: type[T], found: Any, **options: Any) -> T:
        """One thing of an answer to a call with these options."""
        made: T = shaped(found, kind, type(self).__name__)
        return made

    def _all(self, kind: type[T], found: Any, **options: Any) -> list[T]:
        """The things of a list."""
        every = items_of(found, "", type(self).__name__, self.misfit)
        return [self._made(kind, one, **options) for one in every]
