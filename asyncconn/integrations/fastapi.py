"""FastAPI: a hub for as long as the application runs, and its connectors as dependencies.

    >>> app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)]))
    >>> @app.post("/events")
    ... async def record(event: dict[str, Any], panoply: Annotated[Panoply, Provide(Panoply)]) -> None:
    ...     await panoply.write("events", event)

When the application ends, also by cancellation, the hub delivers what the endpoints had written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from asyncconn.connector import Connector
from asyncconn.draining import OnUndelivered
from asyncconn.errors import ConfigError
from asyncconn.hub import Hub
from asyncconn.settings import HubSettings

try:
    from fastapi import Depends, FastAPI
    from fastapi.requests import HTTPConnection
except ImportError as error:
    raise ImportError("asyncconn.integrations.fastapi needs FastAPI: pip install 'asyncconn[fastapi]'") from error

__all__ = ["Provide", "hub_lifespan"]

C = TypeVar("C", bound=Connector)

Connectors = Iterable[Connector] | Mapping[str, Connector]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]]

_STATE = "asyncconn_connectors"


def hub_lifespan(
    factory: Callable[[Hub], Connectors],
    *,
    settings: HubSettings | None = None,
    then: Lifespan | None = None,
    on_undelivered: OnUndelivered = "warn",
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    """A lifespan that opens a hub, makes its connectors by ``factory``, and drains and closes them at the end.

    ``factory`` returns connectors, or a mapping from names to connectors where there are several of one class.
    ``then`` is a lifespan of your own, entered inside it; what it yields is kept. An error of either, such as a
    ``ConfigError`` for a missing setting, ends the start. ``on_undelivered`` is the hub's: ``"raise"`` makes a shutdown
    with losses that nobody was told of a failed one.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with Hub(settings=settings, on_undelivered=on_undelivered) as hub:
            made = factory(hub)
            connectors = dict(made) if isinstance(made, Mapping) else dict(enumerate(made))
            for connector in connectors.values():
                await connector.open()
            state = {_STATE: connectors}
            if then is None:
                yield state
            else:
                async with then(app) as more:
                    yield {**(more or {}), **state}

    return lifespan


def Provide(kind: type[C], name: str | None = None) -> Any:  # noqa: N802 - stands in annotations, like a type
    """The dependency ``Annotated[Panoply, Provide(Panoply)]``: the application's connector of that class.

    ``name`` chooses among several. Raises ``ConfigError``, which is a 500, when the lifespan made no such connector.
    """

    async def provide(connection: HTTPConnection) -> C:
        made: Mapping[Any, Connector] | None = getattr(connection.state, _STATE, None)
        if made is None:
            raise ConfigError(f"{kind.__name__} is not there: give the application lifespan=hub_lifespan(...)")
        found = [one for key, one in made.items() if isinstance(one, kind) and name in (None, key)]
        if len(found) == 1:
            return found[0]
        which = kind.__name__ if name is None else f"{kind.__name__} named {name!r}"
        if found:
            raise ConfigError(f"the application has {len(found)} connectors {which}: name them, and name one here")
        raise ConfigError(f"the application's hub_lifespan made no {which}")

    return Depends(provide)
