"""ASGI, whatever the framework: a hub for as long as an application runs, and what an operator asks it for.

    >>> app = Starlette(
    ...     lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)]),
    ...     routes=[Route("/events", record, methods=["POST"]), Mount("/", app=HealthApp())],
    ... )
    >>> async def record(request: Request) -> Response:
    ...     await provided(request.scope, Panoply).write("events", await request.json())
    ...     return Response(status_code=202)

When the application ends, also by cancellation, the hub delivers what the endpoints had written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from asyncconn.connector import Connector
from asyncconn.core.extras import needed
from asyncconn.errors import ConfigError, WrongLoop
from asyncconn.health import Check, Readiness, ReadinessPolicy, readiness
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from asyncconn.draining import OnUndelivered
    from asyncconn.settings import HubSettings

__all__ = ["Answer", "Health", "HealthApp", "hub_lifespan", "provided"]

C = TypeVar("C", bound=Connector)

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HUB = "asyncconn_hub"
_CONNECTORS = "asyncconn_connectors"


# -- the lifespan ------------------------------------------------------------------------------------------------------


def hub_lifespan(
    factory: Callable[[Hub], Iterable[Connector] | Mapping[str, Connector]],
    *,
    settings: HubSettings | None = None,
    then: Lifespan | None = None,
    on_undelivered: OnUndelivered = "warn",
) -> Callable[[object], AbstractAsyncContextManager[dict[str, Any]]]:
    """A lifespan that opens a hub, makes its connectors by ``factory``, and drains and closes them at the end.

    ``factory`` returns connectors, or a mapping from names to connectors where there are several of one class.
    ``then`` is a lifespan of your own, entered inside it; what it yields is kept. An error of either, such as a
    ``ConfigError`` for a missing setting, ends the start; so does a connector that is not of this hub, as one made
    without ``hub=hub``: nothing would open, drain and close it. ``on_undelivered`` is the hub's: ``"raise"`` makes a
    shutdown with losses that nobody was told of a failed one.
    """

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[dict[str, Any]]:
        async with Hub(settings=settings, on_undelivered=on_undelivered) as hub:
            connectors = _named(factory(hub), hub)
            for connector in connectors.values():
                await connector.open()
            state = {_HUB: hub, _CONNECTORS: connectors}
            if then is None:
                yield state
            else:
                async with then(app) as more:
                    yield {**(more or {}), **state}

    return lifespan


def _named(made: object, hub: Hub) -> dict[Any, Connector]:
    """The connectors that a factory gave, by name or number. Raises ``ConfigError`` for what is none, or of no use."""
    if not isinstance(made, Iterable):
        raise ConfigError(f"the function of hub_lifespan gives a list or a mapping of connectors, {_NOT} {_kind(made)}")
    named: dict[Any, Any] = dict(made) if isinstance(made, Mapping) else dict(enumerate(made))
    for one in named.values():
        if not isinstance(one, Connector):
            raise ConfigError(f"the function of hub_lifespan gives connectors, {_NOT} {_kind(one)} among them")
        if one.hub is not hub:
            raise ConfigError(
                f"{_kind(one)} is not of the application's hub: make it with hub=hub, the hub that is given"
            )
    return named


_NOT = "as [Panoply.from_env(hub=hub)], not"


def _kind(made: object) -> str:
    return "None" if made is None else type(made).__name__


def provided(scope: Scope, kind: type[C], name: str | None = None) -> C:
    """The connector of that class that the application's :func:`hub_lifespan` made; ``name`` chooses among several.

    ``scope`` is a request's, as every ASGI framework has it. Raises ``ConfigError`` when there is no such connector.
    """
    made: Mapping[Any, Connector] | None = _state(scope, _CONNECTORS)
    if made is None:
        raise ConfigError(f"{kind.__name__} is not there: give the application lifespan=hub_lifespan(...)")
    found = [one for key, one in made.items() if isinstance(one, kind) and name in (None, key)]
    if len(found) == 1:
        return found[0]
    which = kind.__name__ if name is None else f"{kind.__name__} named {name!r}"
    if found:
        raise ConfigError(f"the application has {len(found)} connectors {which}: name them, and name one here")
    raise ConfigError(f"the application's hub_lifespan made no {which}")


def _state(scope: Scope, name: str) -> Any:
    """What the lifespan yielded under this name; frameworks make an object of what the server gives as a mapping."""
    state = scope.get("state")
    return state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)


# -- what an operator asks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: a ``status``, a ``body`` in bytes, and its ``content_type``."""

    status: int
    body: bytes
    content_type: str = "application/json"


class Health:
    """The answers to ``/healthz``, ``/readyz`` and ``/metrics``, for whatever serves them.

    ``hub`` is a hub, or a function that gives it once there is one; without it, it is that of the application's
    :func:`hub_lifespan`. ``policy`` says what makes it not ready. ``metrics=False`` leaves out ``/metrics``, which
    takes the extra ``prometheus``: without that library, this raises ``ConfigError``.
    """

    def __init__(
        self,
        hub: Hub | Callable[[], Hub | None] | None = None,
        *,
        policy: ReadinessPolicy | None = None,
        metrics: bool = True,
    ) -> None:
        if metrics:
            needed("prometheus_client", "prometheus")
        self.policy = policy or ReadinessPolicy()
        self.has_metrics = metrics
        self._given = hub

    def hub(self, scope: Scope) -> Hub | None:
        """The hub that a request with this scope is about."""
        if self._given is None:
            found: Hub | None = _state(scope, _HUB)
            return found
        return self._given if isinstance(self._given, Hub) else self._given()

    def alive(self) -> Answer:
        """That this is sent: the loop answers."""
        return Answer(200, b'{"alive":true}')

    async def ready(self, scope: Scope) -> Answer:
        """200, or 503 with what is not well, and why."""
        hub = self.hub(scope)
        if hub is None:
            found = Readiness.of([Check.of("hub", "there is none: give the application lifespan=hub_lifespan(...)")])
        else:
            try:
                found = await readiness(hub, self.policy)
            except WrongLoop:
                found = Readiness.of([Check.of("hub", "it belongs to another event loop: ask that one")])
        return Answer(200 if found.ready else 503, orjson.dumps(asdict(found)))

    async def metrics(self, scope: Scope) -> Answer:
        """What the hub counts, in Prometheus' text format; 503 while there is none, or its loop does not answer."""
        hub = self.hub(scope)
        if hub is None:
            return Answer(503, b"there is no hub\n", "text/plain; charset=utf-8")
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        from asyncconn.integrations.prometheus import HubCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(HubCollector(hub))
        try:
            if hub.loop is asyncio.get_running_loop():
                text = generate_latest(registry)
            else:  # that waits for another loop, and this one is to go on meanwhile
                text = await asyncio.to_thread(generate_latest, registry)
        except TimeoutError as error:
            return Answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
        return Answer(200, text, CONTENT_TYPE_LATEST)


class HealthApp:
    """:class:`Health` as an ASGI application, to be mounted where the three paths are to be: ``GET`` and ``HEAD``.

    What it is asked for is the last part of the path, so that it does not matter where it is mounted.

        >>> app = Starlette(lifespan=..., routes=[Mount("/", app=HealthApp())])
        >>> app = Litestar(lifespan=[...], route_handlers=[asgi("/ops", is_mount=True)(HealthApp(lambda: hub))])
    """

    def __init__(
        self,
        hub: Hub | Callable[[], Hub | None] | None = None,
        *,
        policy: ReadinessPolicy | None = None,
        metrics: bool = True,
    ) -> None:
        self._health = Health(hub, policy=policy, metrics=metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise ConfigError(f"HealthApp answers HTTP: mount it in an application, it is no {scope['type']!r}")
        answer = await self._answer(scope)
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope) -> Answer:
        asked = scope["path"].rstrip("/").rpartition("/")[2]
        if asked not in ("healthz", "readyz", "metrics") or (asked == "metrics" and not self._health.has_metrics):
            return Answer(404, b'{"detail":"not found"}')
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, b'{"detail":"method not allowed"}')
        if asked == "readyz":
            return await self._health.ready(scope)
        return self._health.alive() if asked == "healthz" else await self._health.metrics(scope)
