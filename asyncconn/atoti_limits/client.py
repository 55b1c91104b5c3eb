"""The client: a session and a Limits server, how they get connected, and a noun for everything Limits has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from asyncconn.atoti_limits.calling import Calling
from asyncconn.atoti_limits.connection import Connected, Connecting
from asyncconn.atoti_limits.credentials import Credential, Discreet, auth_of, masked
from asyncconn.atoti_limits.paths import Paths
from asyncconn.atoti_limits.preflight import look
from asyncconn.atoti_limits.readiness import Readiness
from asyncconn.atoti_limits.reports import PreflightReport, StatusReport
from asyncconn.atoti_limits.resources import transfer
from asyncconn.atoti_limits.resources.connections import Connections
from asyncconn.atoti_limits.resources.evaluation import Evaluate
from asyncconn.atoti_limits.resources.incidents import Incidents
from asyncconn.atoti_limits.resources.limits import Limits
from asyncconn.atoti_limits.resources.structures import Structures
from asyncconn.atoti_limits.resources.transfer import Export, Upload, UploadPlan
from asyncconn.atoti_limits.resources.workflow import Workflow
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.atoti_limits.status import status
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.atoti_limits.wire import ServerRules, SessionRules
from asyncconn.connector import Connector, Platform
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConfigError
from asyncconn.http.transport import Timeouts
from asyncconn.settings import load

if TYPE_CHECKING:
    import os

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.health import Check, ReadinessPolicy
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

    platform = Platform("atoti_limits", timeouts=Timeouts(connect=5.0, total=10.0), rules=SessionRules(), cookies=False)

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
        at_session = auth_of(auth)
        at_limits = at_session if limits_auth is None else auth_of(limits_auth)
        super().__init__(
            hub=hub,
            base_url=session_url,
            auth=Discreet(at_session, at_limits),
            retry=retry,
            timeouts=timeouts,
            max_concurrency=max_concurrency,
        )
        #: The road to the Limits server; ``http`` is the one to the session.
        self.server = self.transport(Discreet(at_limits, at_session), base_url=limits_url, rules=ServerRules())
        self._calling = calling = Calling(self.http, self.server, paths or Paths())
        self._connecting = Connecting(calling, generation, server_name, dict(connect_body or {}))
        self._readiness = Readiness(self._connecting.once, clock=lambda: self.hub.clock)

        self.structures = Structures(calling)
        self.limits = Limits(calling)
        self.upload = Upload(calling)
        self.evaluate = Evaluate(calling)
        self.incidents = Incidents(calling)
        self.workflow = Workflow(calling)
        self.connections = Connections(calling)

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

    @property
    def generation(self) -> int:
        """1, 2 or 3: the plugin, the extension JAR, the SDK plugin."""
        return self._connecting.generation

    @property
    def server_name(self) -> str:
        """What Limits knows the session by."""
        return self._connecting.server_name

    @property
    def connect_body(self) -> dict[str, Any]:
        """What is laid over what connecting sends."""
        return self._connecting.connect_body

    @property
    def paths(self) -> Paths:
        """The path table; it may be set."""
        return self._calling.paths

    @paths.setter
    def paths(self, paths: Paths) -> None:
        self._calling.paths = paths

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
        return await look(
            self._calling, versions=versions, ping=ping, discovery=discovery, limits=limits, as_of_date=as_of_date
        )

    async def status(self) -> StatusReport:
        """What works, step by step; changes nothing, and raises nothing for what does not work.

            >>> for step in (await limits.status()).steps:
            ...     print(step.what, step.ok, step.found)

        What needs a step that has failed is not asked: of a session that is not there, by a credential it has refused.
        """
        return await status(self._connecting)

    async def connect(self) -> None:
        """Ask the session to connect, and do not wait for it. Sent again only when it surely did not arrive.

        Raises ``ExtensionNotLoaded``; ``ConfigError`` in generation 1, which connects by itself. Contract: section 5.
        """
        await self._connecting.connect()

    async def connected(self) -> bool:
        """Whether they are connected. Raises ``LimitsProtocolError`` for an answer other than true or false.

        In generation 1 the Limits server is asked for its connections.
        """
        return await self._connecting.connected()

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
        options = {} if isinstance(preflight, bool) else preflight
        first = None if preflight is False else partial(self.preflight, **options)
        return await self._connecting.wait(timeout, self.hub.clock, preflight=first, predicate=predicate)

    async def disconnect(self) -> None:
        """Ask the session to disconnect. ``ConfigError`` in generations 1 and 2, which cannot."""
        await self._connecting.disconnect()

    async def ready(self) -> bool:
        """:meth:`connected` as a readiness probe: at most one request a second whoever asks, and never an error.

        It takes a second at most; whatever goes wrong means False.
        """
        return await self._readiness.ask()

    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        """That session and Limits are connected, by :meth:`ready`. See :meth:`Connector.checks`."""
        from asyncconn.health import Check

        trouble = "" if await self.ready() else "session and Limits are not connected, or do not say so"
        return [Check.of(f"{self.platform.name} connected", trouble)]

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
        return await transfer.export(self._calling, structure_ids, version=version, timeout=timeout)

    async def plan_upload(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        kind: Literal["structures", "limits"] | None = None,
        version: str = LATEST,
        check: bool = True,
    ) -> UploadPlan:
        """A CSV file of structures or of limits, or its bytes, checked as a whole; nothing has been sent yet.

            >>> plan = await limits.plan_upload("limits_approve.csv")
            >>> print(plan.kind, plan.rows)
            >>> report = await plan.run()

        Its columns tell its ``kind``, in the format of the Limits server's ``version``. Without ``check`` it is for the
        server to find what is wrong with it.

        Raises ``LimitsValidationError`` (``local``; every fault in ``details``), and ``ConfigError`` for a file that
        cannot be read, or whose columns do not tell.
        """
        return await transfer.plan_upload(self.upload, source, kind=kind, version=version, check=check)

    async def learn_paths(self) -> Paths:
        """Correct :attr:`paths` by the server's own OpenAPI document, where that is switched on. See ``Paths``."""
        return await self._calling.learn_paths()

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
        return await self._calling.request(name, ids=ids, pivot=pivot, retry=retry, **options)
