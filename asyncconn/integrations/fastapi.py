"""FastAPI: a hub for as long as the application runs, its connectors as dependencies, and what an operator asks for.

    >>> app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)]))
    >>> app.include_router(health_router())
    >>> @app.post("/events")
    ... async def record(event: dict[str, Any], panoply: Annotated[Panoply, Provide(Panoply)]) -> None:
    ...     await panoply.write("events", event)

When the application ends, also by cancellation, the hub delivers what the endpoints had written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.connector import Connector
from asyncconn.health import Readiness, ReadinessPolicy
from asyncconn.integrations.asgi import Answer, Health, Receive, Scope, Send, hub_lifespan, provided

try:
    from fastapi import APIRouter, Depends
    from fastapi.requests import HTTPConnection, Request
    from fastapi.responses import Response
except ImportError as error:
    raise ImportError("asyncconn.integrations.fastapi needs FastAPI: pip install 'asyncconn[fastapi]'") from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.hub import Hub

__all__ = ["Provide", "health_router", "hub_lifespan"]

C = TypeVar("C", bound=Connector)


def Provide(kind: type[C], name: str | None = None) -> Any:  # noqa: N802 - stands in annotations, like a type
    """The dependency ``Annotated[Panoply, Provide(Panoply)]``: the application's connector of that class.

    ``name`` chooses among several. Raises ``ConfigError``, which is a 500, when the lifespan made no such connector.
    """

    async def provide(connection: HTTPConnection) -> C:
        return provided(connection.scope, kind, name)

    return Depends(provide)


def health_router(
    hub: Hub | Callable[[], Hub | None] | None = None,
    *,
    policy: ReadinessPolicy | None = None,
    metrics: bool = True,
    **options: Any,
) -> APIRouter:
    """A router with ``/healthz`` (the loop answers), ``/readyz`` and ``/metrics``, for ``GET`` and ``HEAD``.

        >>> app.include_router(health_router(policy=ReadinessPolicy(after_loss=60.0)), prefix="/ops")

    ``/readyz`` is 503 when something is not well, and says what, and why: see :func:`asyncconn.readiness`. The other
    arguments are those of :class:`~asyncconn.integrations.asgi.Health`; ``options`` are the router's. Raises
    ``ConfigError`` without the extra ``prometheus``, unless ``metrics=False`` leaves ``/metrics`` out.
    """
    health = Health(hub, policy=policy, metrics=metrics)
    router = APIRouter(**{"tags": ["health"], **options})

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Whether the loop answers")
    async def healthz() -> Response:
        return _response(health.alive())

    @router.head("/readyz", include_in_schema=False)
    @router.get(
        "/readyz",
        summary="Whether it is ready for work",
        response_model=Readiness,
        responses={503: {"model": Readiness, "description": "Something is not well"}},
    )
    async def readyz(request: Request) -> Response:
        return _response(await health.ready(request.scope))

    if metrics:

        @router.head("/metrics", include_in_schema=False)
        @router.get("/metrics", summary="Figures in Prometheus' text format", response_class=_Text)
        async def figures(request: Request) -> Response:
            return _response(await health.metrics(request.scope))

    return router


class _Text(Response):
    media_type = "text/plain"


class _Answered(Response):
    """To a HEAD with the headers alone, which tell the length of the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.body = b""
        await super().__call__(scope, receive, send)


def _response(answer: Answer) -> Response:
    return _Answered(answer.body, answer.status, {"Cache-Control": "no-store"}, media_type=answer.content_type)
