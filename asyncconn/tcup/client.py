"""The client: one address, its keys, and a noun for everything that TCUP's services have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from asyncconn.connector import Connector, Platform
from asyncconn.core.secret import Concealed, Secret, is_secret, secret
from asyncconn.errors import ConfigError
from asyncconn.http.transport import Timeouts
from asyncconn.hub import Hub
from asyncconn.tcup.calling import Service
from asyncconn.tcup.config_file import options_of, read_config
from asyncconn.tcup.jwt import Algorithm, JwtAuth, KeyAuth, Skew, SymmetricKey
from asyncconn.tcup.resources.datalake import Datalake
from asyncconn.tcup.resources.features import Features
from asyncconn.tcup.resources.observations import Observations
from asyncconn.tcup.resources.projects import Projects
from asyncconn.tcup.resources.routing import Routing
from asyncconn.tcup.resources.run import RunCalls
from asyncconn.tcup.resources.sensors import Sensors
from asyncconn.tcup.resources.task import TaskCalls
from asyncconn.tcup.resources.tasks import Tasks
from asyncconn.tcup.resources.workflows import Workflows
from asyncconn.tcup.routes import tables
from asyncconn.tcup.rules import DlsRules, JobRules, RoutingRules, SosRules
from asyncconn.tcup.streams.mqtt import Mqtt
from asyncconn.tcup.streams.options import MqttOptions
from asyncconn.tcup.streams.stream import Stream
from asyncconn.tcup.times import zone_named

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from asyncconn.core.buffer.figures import BufferFigures
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.rates.registry import Rates
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.core.supervise import StreamFigures
    from asyncconn.http.response import Response
    from asyncconn.http.rules import Rules
    from asyncconn.tcup.models import Capabilities

__all__ = ["Tcup"]


class Tcup(Connector):
    """A client of TCUP (TCS Connected Universe Platform).

        >>> async with Tcup("https://in.tcupiot.com", api_key) as tcup:
        ...     await tcup.observations.insert("ts1", {"obs1": "test_1", "obs2": 1}, "tf1")
        ...     frame = await tcup.observations.query(sensor="ts1").frame()

    ``api_key`` is the tenant's; ``app_key`` goes along to message routing, ``dls_key`` to the data lake (by default the
    API key does). ``auth_mode="jwt"`` adds a token for each service, signed with ``symmetric_key`` (a text, or Base64
    with ``symmetric_key_encoding="base64"``) by ``algorithm``; it takes the extra ``jwt``. ``default_timezone`` is that
    of datetimes without one, which are refused otherwise.

    ``paths`` replaces what the services' paths begin with (``{"sos_path": "/sos"}``: also ``mr_path``, ``dls_path``,
    ``ws_path``, ``sse_path``, ``task_path``, ``workflow_path``), or single calls. ``rates`` are the account's limits:
    none but the server's are known. ``direct_exchange`` and ``routing_key`` are where :attr:`routing` and
    :attr:`stream` send if nothing else is said.
    ``ca_file`` is for the client's own hub; one that is given has its own. ``mqtt`` says where the broker of
    :attr:`mqtt` is: ``{"host": ..., "username": "vhost:user", "password": ...}``, and the other fields of
    :class:`~asyncconn.tcup.streams.options.MqttOptions`.

    A write is never repeated when its outcome is unknown, unless ``retry=RetryPolicy(maybe_sent="always")`` accepts
    that it may be carried out twice; a refusal that SOS hides in a 200 is raised as the error that it means. Raises
    ``ConfigError``. Contract: tcup sections 1, 10.
    """

    platform = Platform("tcup", cookies=False)

    def __init__(
        self,
        url: str,
        api_key: str | Concealed,
        *,
        hub: Hub | None = None,
        dls_key: str | Concealed | None = None,
        app_key: str | Concealed | None = None,
        paths: Mapping[str, Any] | None = None,
        auth_mode: str = "apikey",
        symmetric_key: str | Concealed | None = None,
        symmetric_key_encoding: str = "utf8",
        algorithm: Algorithm = "HS256",
        default_timezone: str | None = None,
        direct_exchange: str = "Direct.Exchange",
        routing_key: str | None = None,
        rates: Rates = None,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        timeouts: Timeouts | None = None,
        max_concurrency: int | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        mqtt: Mapping[str, Any] | None = None,
    ) -> None:
        api_key, dls_key = _key(api_key, "api_key"), _key(dls_key or api_key, "dls_key")
        app_key = None if app_key is None else _key(app_key, "app_key")
        symmetric_key = None if symmetric_key is None else _key(symmetric_key, "symmetric_key")
        self.default_timezone = default_timezone
        if default_timezone is not None:
            _check_zone(default_timezone)
        broker = None if mqtt is None else MqttOptions.of(mqtt)
        made, bases = tables(paths)
        hidden = [key for key in (dls_key, app_key, symmetric_key) if key is not None]
        signing = _signing(auth_mode, symmetric_key, symmetric_key_encoding, algorithm)
        if timeout is not None:
            timeouts = replace(timeouts or self.platform.timeouts, total=timeout)
        own = Hub(ca_file=ca_file) if hub is None and ca_file is not None else None
        super().__init__(
            hub=hub or own,
            base_url=url,
            auth=KeyAuth(api_key, hidden=hidden),
            rates=rates,
            retry=retry,
            timeouts=timeouts,
            max_concurrency=max_concurrency,
        )
        self._owns_hub = hub is None
        #: How many of its requests may be under way at once.
        self.places = self.platform.max_concurrency if max_concurrency is None else max_concurrency
        skew = Skew()
        if signing is not None:
            self.http.events.on("attempt", skew.hear)

        def service(base: str, rules: Rules, keys: Mapping[str, Secret] | None = None) -> Service:
            auth = (
                KeyAuth(api_key, keys, hidden=hidden)
                if signing is None
                else JwtAuth(api_key, keys, hidden=hidden, key=signing, audience=bases[base], skew=skew)
            )
            return Service(self.transport(auth, rules=rules), made[base], self.hub.clock)

        sos = service("sos_path", SosRules())
        mr = service("mr_path", RoutingRules(), {} if app_key is None else {"x-app-key": app_key})
        dls = service("dls_path", DlsRules(), {"x-dls-key": dls_key})
        tasks, workflows = service("task_path", JobRules()), service("workflow_path", JobRules())
        ws, sse = service("ws_path", JobRules()), service("sse_path", JobRules())
        self._services = (sos, mr, dls, ws, sse, tasks, workflows)

        self.observations = Observations(sos, self)
        self.sensors = Sensors(sos)
        self.features = Features(sos)
        self.mqtt = Mqtt(broker, self)
        self.projects = Projects(tasks)
        calls = TaskCalls(tasks, self.projects, places=self._places, default_timezone=default_timezone)
        self.tasks = Tasks(calls)
        self.workflows = Workflows(RunCalls(workflows, calls, places=self._places))
        self.datalake = Datalake(dls, default_timezone)
        self.stream = Stream(self, ws, sse, sos, direct_exchange=direct_exchange, routing_key=routing_key)
        self.routing = Routing(
            mr, direct_exchange=direct_exchange, routing_key=routing_key, default_timezone=default_timezone
        )

    @classmethod
    def from_env(cls, *, prefix: str | None = None, hub: Hub | None = None, **options: Any) -> Self:
        """From ``ASYNCCONN_TCUP_URL``, ``ASYNCCONN_TCUP_API_KEY`` and the other options of the file, so prefixed.

        ``options`` are the constructor's. Raises ``ConfigError`` naming what is missing, and for another ``prefix``.
        """
        if prefix is not None:
            raise ConfigError("the variables of TCUP begin with ASYNCCONN_TCUP_: a file can have other names")
        return cls(hub=hub, **options_of(options))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, hub: Hub | None = None, **options: Any) -> Self:
        """From a ``ConfigFile.conf``, with the environment's options above the file's, and ``options`` above both.

            >>> tcup = Tcup.from_file("ConfigFile.conf", default_timezone="Asia/Kolkata")

        Raises ``ConfigError`` for a file that cannot be read or holds what it should not, and for what is missing.
        """
        return cls(hub=hub, **options_of(options, read_config(path)))

    def figures(self) -> Iterable[BufferFigures | StreamFigures]:
        """Those of :attr:`mqtt` and :attr:`stream`; those of its writers and publishers the hub has from these."""
        return [*self.mqtt.figures(), *self.stream.figures()]

    async def stop(self) -> None:
        """End the subscriptions: what came is still handled."""
        self.mqtt.stop()
        self.stream.stop()

    async def drain(self, timeout: float) -> FlushReport | None:
        """Wait for the acknowledgement of what was published."""
        await self.stream.aclose()
        return await self.mqtt.drain(timeout)

    async def capabilities(self) -> Capabilities:
        """How many sensors and features there are, and what each sensor puts out. Contract: section 2.2."""
        return await self.sensors.capabilities()

    async def call(self, name: str, *, ids: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """One call of the tables by its name, to the service it belongs to.

        ``options`` are those of ``Transport.request``. Raises ``ConfigError`` for a name that no table has, and what
        the answer means.
        """
        for service in self._services:
            if name in service.routes.entries:
                return await service.request(name, ids=ids, **options)
        raise ConfigError(f"there is no call {name!r}")


def _key(given: Any, what: str) -> Secret:
    if not is_secret(given):
        raise ConfigError(f"{what} is a text, not {type(given).__name__}")
    return secret(given)


def _check_zone(name: Any) -> None:
    if not isinstance(name, str):
        raise ConfigError(f"default_timezone is the name of a zone, not {name!r}")
    try:
        zone_named(name)
    except ValueError as error:
        raise ConfigError(f"default_timezone: {error}") from error


def _signing(mode: str, key: Secret | None, encoding: str, algorithm: Algorithm) -> SymmetricKey | None:
    if mode == "apikey":
        return None
    if mode != "jwt":
        raise ConfigError(f"auth_mode is apikey or jwt, not {mode!r}")
    if key is None:
        raise ConfigError("auth_mode jwt needs a symmetric_key")
    return SymmetricKey(key, encoding, algorithm)
