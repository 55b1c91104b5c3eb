"""The client: a session and a Limits server, how they get connected, and a noun for everything Limits has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from asyncconn.atoti_limits import connection
from asyncconn.atoti_limits.connection import Connected, PreflightReport
from asyncconn.atoti_limits.credentials import Credential, Discreet, auth_of, masked
from asyncconn.atoti_limits.errors import (
    ExtensionNotLoaded,
    LimitsError,
    LimitsProtocolError,
    unreachable,
)
from asyncconn.atoti_limits.paths import READS, Paths
from asyncconn.atoti_limits.readiness import Readiness
from asyncconn.atoti_limits.resources import transfer
from asyncconn.atoti_limits.resources.connections import Connections
from asyncconn.atoti_limits.resources.evaluation import Evaluate
from asyncconn.atoti_limits.resources.incidents import Incidents
from asyncconn.atoti_limits.resources.limits import Limits
from asyncconn.atoti_limits.resources.structures import Structures
from asyncconn.atoti_limits.resources.transfer import Export, Upload
from asyncconn.atoti_limits.resources.workflow import Workflow
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.atoti_limits.wire import ServerRules, SessionRules, document
from asyncconn.connector import Connector
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConfigError, NotFound, ProtocolError, TransportError
from asyncconn.http.transport import Rules, Timeouts
from asyncconn.settings import load

if TYPE_CHECKING:
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.http.response import Response
    from asyncconn.hub import Hub

__all__ = ["AtotiLimits"]

_SESSIONS = {1: "http://localhost:6060", 2: "http://localhost:7070", 3: "http://localhost:7070"}
_LIMITS = "http://localhost:3090"


class AtotiLimits(Connector):
    """A client of an Atoti session and of the Limits server that watches it.

        >>> async with AtotiLimits(auth=("admin", "admin")) as limits:
        ...     await limits.wait_connected(timeout=60)
        ...     for row in (await limits.evaluate.all()).rows():
        ...         print(row["Limit ID"], row["Incident Type"])

    ``session_url`` may have a base path. Without one, and without ``limits_url``, ``ATOTI_BASE_URL`` and
    ``ATOTI_LIMITS_URL`` count, then localhost with the ports of the guides. ``auth`` is ``(user, password)``, a token
    (sent as ``Jwt``), or any ``Auth``, such as ``TokenAuth(provider, scheme="Bearer")``; ``limits_auth`` is another one
    for the Limits server. ``generation`` is 1 (plugin), 2 (extension JAR) or 3 (SDK plugin); ``server_name`` is what
    Limits knows the session by. ``paths`` replaces single paths, or all by those of Limits 1.x: ``Paths("v1")``.
    ``connect_body`` is laid over what connecting sends, for servers that see each other at other addresses.

    Each method raises what the platform's errors mean (:mod:`asyncconn.atoti_limits.errors`); writes are never
    repeated when their outcome is unknown. Cookies are neither kept nor sent. Contract: limits sections 5, 10, 12.
    """

    platform: ClassVar[str] = "atoti_limits"
    timeouts: ClassVar[Timeouts] = Timeouts(connect=5.0, total=10.0)
    rules: ClassVar[Rules] = SessionRules()
    cookies: ClassVar[bool] = False

    limits: Limits  # type: ignore[assignment] # users say limits.limits; this platform has no rate limits

    def __init__(
        self,
        session_url: str | None = None,
        *,
        limits_url: str | None = None,
        auth: Credential | None = None,
        limits_auth: Credential | None = None,
        generation: int = 3,
        server_name: str = "atoti",
        connect_body: Mapping[str, Any] | None = None,
        paths: Paths | None = None,
        hub: Hub | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        auth, limits_auth = masked(auth), masked(limits_auth)
        if generation not in _SESSIONS:
            raise ConfigError(f"the generation is one of {', '.join(map(str, _SESSIONS))}, not {generation!r}")
        if not server_name.strip():
            raise ConfigError(f"the server name is the one Limits knows the session by, not {server_name!r}")
        if session_url is None or limits_url is None:
            settings = load(AtotiLimitsSettings)
            session_url = session_url or settings.session_url or _SESSIONS[generation]
            limits_url = limits_url or settings.limits_url or _LIMITS
        self.generation = generation
        self.server_name = server_name
        self.connect_body = dict(connect_body or {})
        self.paths = paths or Paths()
        at_session = auth_of(auth)
        at_limits = at_session if limits_auth is None else auth_of(limits_auth)
        super().__init__(
            hub=hub,
            base_url=session_url,
            auth=Discreet(at_session, at_limits),
            retry=retry,
            timeouts=timeouts,
            max_concurrency=max_concurrency,
            limits=dict,
        )
        #: The road to the Limits server; ``http`` is the one to the session.
        self.server = self.transport(
            Discreet(at_limits, at_session), base_url=limits_url, limits=dict, rules=ServerRules()
        )
        self._readiness = Readiness(lambda: connection.once(self), clock=lambda: self.hub.clock)

        self.structures = Structures(self)
        self.limits = Limits(self)
        self.upload = Upload(self)
        self.evaluate = Evaluate(self)
        self.incidents = Incidents(self)
        self.workflow = Workflow(self)
        self.connections = Connections(self)

    @classmethod
    def from_env(cls, *, hub: Hub | None = None, **options: Any) -> Self:
        """From ``ASYNCCONN_ATOTI_LIMITS_USER`` and ``..._PASSWORD``, or ``..._TOKEN``, and the addresses as always.

        ``options`` are the constructor's. Raises ``ConfigError`` for a user without a password.
        """
        settings = load(AtotiLimitsSettings)
        given: dict[str, Any] = {"session_url": settings.session_url, "limits_url": settings.limits_url}
        if settings.token is not None:
            given["auth"] = settings.token
        elif settings.user is not None and settings.password is not None:
            given["auth"] = (settings.user, settings.password)
        elif settings.user is not None or settings.password is not None:
            raise ConfigError("ASYNCCONN_ATOTI_LIMITS_USER and ASYNCCONN_ATOTI_LIMITS_PASSWORD belong together")
        return cls(hub=hub, **{**given, **options})

    @property
    def session_url(self) -> str:
        """The session's address, its base path included."""
        return self.http.base_url

    @property
    def limits_url(self) -> str:
        """The Limits server's address."""
        return self.server.base_url

    # -- connecting ----------------------------------------------------------------------------------------------------

    async def preflight(
        self,
        *,
        versions: bool = True,
        ping: bool = True,
        discovery: bool = True,
        limits: bool = True,
        as_of_date: str | None = None,
    ) -> PreflightReport:
        """Look whether connecting can work: each step can be switched off.

        ``versions``: the session is an Atoti server. ``ping``: it takes the credential. ``discovery``: a cube has a
        slicing date hierarchy (``as_of_date`` names it, as ``level@hierarchy@dimension``). ``limits``: the Limits
        server is up. What is doubtful is in the report's ``warnings``.

        Raises ``SessionUnreachable``, ``LimitsUnreachable``, ``LimitsAuthError``, ``SlicingHierarchyMissing``,
        ``SessionNotReady``, ``LimitsProtocolError`` for what is no Atoti server. Contract: section 5.1.
        """
        return await connection.preflight(
            self, versions=versions, ping=ping, discovery=discovery, limits=limits, as_of_date=as_of_date
        )

    async def connect(self) -> None:
        """Ask the session to connect, and do not wait for it. Sent again only when it surely did not arrive.

        Raises ``ExtensionNotLoaded``; ``ConfigError`` in generation 1, which connects by itself. Contract: section 5.
        """
        await connection.connect(self)

    async def connected(self) -> bool:
        """Whether they are connected. Raises ``LimitsProtocolError`` for an answer other than true or false.

        In generation 1 the Limits server is asked for its connections.
        """
        return await connection.connected(self)

    async def wait_connected(
        self,
        timeout: float = 60.0,
        *,
        preflight: bool | Mapping[str, Any] = True,
        predicate: Callable[[], Awaitable[bool]] | None = None,
    ) -> Connected:
        """Look, ask, and wait until they are connected: ``timeout`` seconds for all of it.

        ``preflight`` is False, or the options of :meth:`preflight` as a mapping. ``predicate`` is asked instead of
        :meth:`connected`, for a Limits server of generation 1 that does not tell.

        While it polls, a missing answer and 502, 503, 504 mean "not yet"; any other error is raised at once. Raises
        ``ConnectionTimedOut`` with the last answer, the number of polls, and the causes that nothing has excluded.
        """
        return await connection.wait_connected(self, timeout=timeout, preflight=preflight, predicate=predicate)

    async def disconnect(self) -> None:
        """Ask the session to disconnect. ``ConfigError`` in generations 1 and 2, which cannot."""
        await connection.disconnect(self)

    async def ready(self) -> bool:
        """:meth:`connected` as a readiness probe: at most one request a second whoever asks, and never an error.

        It takes a second at most; whatever goes wrong means False.
        """
        return await self._readiness.ask()

    async def drain(self, timeout: float) -> FlushReport | None:
        """End what :meth:`ready` may have under way."""
        await self._readiness.aclose()
        return None

    # -- the Limits server ---------------------------------------------------------------------------------------------

    async def export(
        self, structure_ids: str | Sequence[str] = (), *, version: str = LATEST, timeout: float = 120.0
    ) -> Export:
        """Structures and their limits as CSV, all or those named. ``version`` is that of the server's CSV format.

        From Limits 1.x (``Paths("v1")``) come its limits, in the format of ``legacy_limits.csv``.
        """
        return await transfer.export(self, structure_ids, version=version, timeout=timeout)

    async def learn_paths(self) -> Paths:
        """Correct :attr:`paths` by the server's own OpenAPI document, where that is switched on. See ``Paths``."""
        self.paths = self.paths.from_openapi(document(await self.call("server.openapi")))
        return self.paths

    async def call(
        self,
        name: str,
        *,
        ids: Mapping[str, Any] | None = None,
        pivot: str = "",
        retry: RetryPolicy | None = None,
        **options: Any,
    ) -> Response:
        """One call of the path table, to the server it belongs to. ``options`` are those of ``Transport.request``.

        Raises ``ConfigError`` for a name that is not in the table, and what the method of that name raises.
        """
        method, path = self.paths.method(name), self.paths.path(name, pivot=pivot, **(ids or {}))
        at_session = name.startswith(("session.", "autoconfig."))
        transport = self.http if at_session else self.server
        options.setdefault("idempotent", name in READS)
        try:
            return await transport.request(method, path, retry=retry, **options)
        except TransportError as error:
            where = f"{'session' if at_session else 'Limits server'} at {transport.base_url}"
            raise unreachable(f"{where}: {error.message}", error, at_session=at_session) from error
        except NotFound as error:
            error.message = f"{error.message} [path table: {name} = {method} {path}]"
            if not name.startswith("autoconfig."):
                raise
            raise ExtensionNotLoaded(
                error.message, platform=self.platform, status=error.status, body=error.body
            ) from error
        except ProtocolError as error:
            if isinstance(error, LimitsError):
                raise
            ours = LimitsProtocolError(error.message)
            ours.maybe_sent = error.maybe_sent
            raise ours from error
