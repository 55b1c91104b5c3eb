"""TCUP as its clients meet it: a gateway that looks at keys, tokens and rates, and services behind it.

Contract: tcup sections 1, 4, 5, 9, 10 and 13.28.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from email.utils import format_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncconn.errors import ConfigError
from asyncconn.sandbox.clock import MovableClock
from asyncconn.sandbox.credentials import Inventor
from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.spelling import spelled_out
from asyncconn.sandbox.tcup import viewing
from asyncconn.sandbox.tcup.asking import segments
from asyncconn.sandbox.tcup.dls import Dls
from asyncconn.sandbox.tcup.mr import Mr
from asyncconn.sandbox.tcup.options import Options
from asyncconn.sandbox.tcup.paths import bases, below
from asyncconn.sandbox.tcup.sos import Sos
from asyncconn.sandbox.tcup.streams import Events, MqttServer, Realm, Streams, WebSockets
from asyncconn.sandbox.tcup.tasks import Tasks
from asyncconn.sandbox.tcup.tenants import Tenant, check_token, invent
from asyncconn.sandbox.tcup.voice import Refused, envelope, error_answer, json_answer
from asyncconn.sandbox.tcup.workflows import Workflows
from asyncconn.sandbox.views import Gauge, View
from asyncconn.sandbox.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.service import Service
    from asyncconn.sandbox.tcup.streams import Session
    from asyncconn.sandbox.world import Place

__all__ = ["Counters", "ServiceCall", "Services", "TcupWorld"]

_log = logging.getLogger("asyncconn.sandbox")

_NOBODY = "-"
_REVOKED = 1008  # a WebSocket's close code
_PAGE = Answer(
    200,
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form></form></body></html>\n",
    "text/html; charset=utf-8",
)
#: Which class serves what is below which base path.
_SERVED: dict[str, type[Service]] = {
    "sos_path": Sos,
    "mr_path": Mr,
    "dls_path": Dls,
    "task_path": Tasks,
    "workflow_path": Workflows,
    "ws_path": WebSockets,
    "sse_path": Events,
}


@dataclass(frozen=True, slots=True)
class Services:
    """What one tenant has; named as in the counters."""

    sos: Sos
    mr: Mr
    dls: Dls
    tasks: Tasks
    workflows: Workflows
    ws: WebSockets
    sse: Events

    def of(self, kind: type[Service]) -> tuple[str, Service]:
        """The one of this class, with its name."""
        return next((each.name, one) for each in fields(self) if type(one := getattr(self, each.name)) is kind)

    def all(self) -> list[Service]:
        """Each of them."""
        return [getattr(self, each.name) for each in fields(self)]


class ServiceCall(NamedTuple):
    """A call as it was counted.

    ``service`` is its name in :class:`Services`, ``-`` where the gateway refused it; ``user`` the tenant's, None for a
    stranger; ``path`` is percent-decoded; ``at`` are monotonic seconds of the sandbox's clock.
    """

    service: str
    user: str | None
    method: str
    path: str
    status: int
    at: float


@dataclass(slots=True)
class Counters:
    """Since the sandbox was made.

    ``requests``: those that reached a service, by its name, ``-`` for what the gateway refused; ``refused``: answers
    429; ``unauthorized``: answers 401 and 403; ``statuses``: answers by HTTP status.
    """

    requests: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    unauthorized: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class TcupWorld(World):
    """The embedded TCUP; the arguments are the fields of :class:`~asyncconn.sandbox.tcup.options.Options`.

    Reached as ``sandbox.tcup``, too.

        async with Sandbox(TcupWorld(auto_register=True)) as sandbox:
            ...
            sandbox.tcup.sos.rows()
            sandbox.tcup.routed("ex1", "test")
            sandbox.tcup.streams.faults.add(StreamFault("kill", match="mqtt", after=10))
            sandbox.tcup.sessions["c1"].kept
            sandbox.tcup.dls.generate("big.bin", 2 * 1024**3)
            sandbox.tcup.tasks.engine.limit_seconds = 3.0

    There is one tenant, more by :meth:`add_tenant`; ``options`` may be changed while it runs. Raises
    :class:`~asyncconn.errors.ConfigError` naming the field.
    """

    name = "tcup"
    fault_kinds = frozenset({"html_200", "inner_500"})

    @spelled_out(Options)
    def __init__(self, options: Options) -> None:
        self.options = options
        self.counters = Counters()
        self.streams = Streams(options)
        self.tenants: dict[str, Tenant] = {}
        self._known: list[Tenant] = []
        self._services: dict[str, Services] = {}
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._bases = bases(self.options.paths)

    # -- for the user --------------------------------------------------------------------------------------------------

    @cached_property
    def tenant(self) -> Tenant:
        """The first tenant."""
        return self.add_tenant("user1")

    @property
    def api_key(self) -> str:
        """Of the first tenant."""
        return self.tenant.api_key

    @property
    def sos(self) -> Sos:
        """Sensors and observations of the first tenant."""
        return self.services(self.tenant).sos

    @property
    def mr(self) -> Mr:
        """Message routing of the first tenant."""
        return self.services(self.tenant).mr

    @property
    def dls(self) -> Dls:
        """The data lake of the first tenant."""
        return self.services(self.tenant).dls

    @property
    def tasks(self) -> Tasks:
        """Projects and tasks of the first tenant."""
        return self.services(self.tenant).tasks

    @property
    def workflows(self) -> Workflows:
        """Workflows of the first tenant."""
        return self.services(self.tenant).workflows

    @cached_property
    def mqtt(self) -> MqttServer:
        """The MQTT broker of all tenants."""
        return MqttServer(self.streams, self.options, self.place.host)

    @property
    def sessions(self) -> dict[str, Session]:
        """MQTT sessions of the first tenant, by client id."""
        return self.mqtt.realms[self.tenant.vhost].sessions

    @cached_property
    def clock(self) -> MovableClock:
        """The sandbox's, which can be moved on here."""
        return MovableClock(self.place.clock)

    @cached_property
    def calls(self) -> deque[ServiceCall]:
        """The last calls, as many as the sandbox keeps arrivals."""
        return deque(maxlen=self.place.keep_arrivals)

    def routed(self, exchange: str, topic: str = "#") -> list[dict[str, Any]]:
        """Documents of the first tenant that went to fitting topics of a topic exchange, oldest first.

        Messages that are no JSON objects are left out. Raises :class:`~asyncconn.errors.ConfigError` where there is no
        such exchange.
        """
        if exchange not in self.mr.broker.topic_exchanges:
            raise ConfigError(f"world: there is no topic exchange {exchange!r}")
        return [body for body in self.mr.broker.routed(exchange, topic) if isinstance(body, dict)]

    def add_tenant(self, user: str) -> Tenant:
        """One more, with made-up keys and nothing in it. Raises :class:`~asyncconn.errors.ConfigError` for a twin."""
        if any(tenant.user == user for tenant in self.tenants.values()):
            raise ConfigError(f"world: there is a tenant {user!r} already")
        tenant = invent(user, self._inventor)
        self._known.append(tenant)
        self._move_in(tenant)
        return tenant

    def _move_in(self, tenant: Tenant) -> None:
        mr = Mr(tenant, self.clock, keep=self.place.keep_arrivals)
        self.tenants[tenant.api_key] = tenant
        self.mqtt.realms[tenant.vhost] = Realm(tenant, mr.broker, self.options)
        tasks = Tasks(self.clock)
        self._services[tenant.api_key] = Services(
            Sos(tenant, self.options, mr.broker, self.streams),
            mr,
            Dls(tenant, self.clock),
            tasks,
            Workflows(tasks.engine),
            WebSockets(tenant, mr.broker, self.streams),
            Events(tenant, mr.broker, self.streams),
        )

    def services(self, tenant: Tenant) -> Services:
        """What a tenant has."""
        return self._services[tenant.api_key]

    def revoke(self, tenant: Tenant | None = None) -> None:
        """A tenant's API key, the first one's by default, is known no more; WebSockets hear so, and are closed."""
        tenant = tenant or self.tenant
        self.tenants.pop(tenant.api_key, None)
        self.streams.leave(_REVOKED, lambda one: one.user == tenant.user and one.protocol != "mqtt")

    # -- for the server ------------------------------------------------------------------------------------------------

    def env(self) -> dict[str, str]:
        """Address and key of the first tenant, and whatever is not as a client expects it."""
        env = {"ASYNCCONN_TCUP_URL": self.url, "ASYNCCONN_TCUP_API_KEY": self.tenant.api_key}
        if self.options.auth_mode == "jwt":
            env["ASYNCCONN_TCUP_AUTH_MODE"] = "jwt"
            env["ASYNCCONN_TCUP_SYMMETRIC_KEY"] = self.tenant.symmetric_key
            env["ASYNCCONN_TCUP_SYMMETRIC_KEY_ENCODING"] = self.options.symmetric_key_encoding
        if self.mqtt.is_open:
            env["ASYNCCONN_TCUP_MQTT_HOST"] = self.mqtt.host
            env["ASYNCCONN_TCUP_MQTT_PORT"] = str(self.mqtt.port)
            env["ASYNCCONN_TCUP_MQTT_USERNAME"] = self.tenant.mqtt_username
            env["ASYNCCONN_TCUP_MQTT_PASSWORD"] = self.tenant.mqtt_password
            env["ASYNCCONN_TCUP_MQTT_TLS"] = "false" if self.options.mqtt_tls is None else "true"
        return env | {f"ASYNCCONN_TCUP_{name.upper()}": path for name, path in self.options.paths.items()}

    def settle(self, place: Place) -> None:
        """The first tenant moves in."""
        super().settle(place)
        _ = self.tenant

    async def open(self, url: str) -> None:
        """Listen for MQTT, too. Raises :class:`~asyncconn.errors.ConfigError`."""
        await super().open(url)
        if self.options.mqtt_port is not None:
            await self.mqtt.start()

    async def close(self) -> None:
        """End what still runs."""
        await super().close()
        await self.mqtt.stop()
        self.streams.close()
        await asyncio.gather(*(one.close() for services in self._services.values() for one in services.all()))

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """What is below a base path, and whatever comes with one of the keys."""
        return self._find(path) is not None or headers.get("x-api-key", "") in self.tenants

    def takes_pieces(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """As the service wants it."""
        found = self._find(path)
        return found is not None and found.service.takes_pieces(method, found.below)

    async def answer(self, call: Call) -> Answer:
        """Let it through the gateway, and serve it."""
        found = self._find(call.target)
        tenant = self.tenants.get(call.headers.get("x-api-key", ""))
        name = _NOBODY
        try:
            if tenant is None:
                raise Refused(403, "Invalid API key") if found is None else found.service.stranger()
            self._let_in(call, tenant, found)
            if found is None:
                raise Refused(404, "no service is here")
            name, service = self.services(tenant).of(found.service)
            inside = replace(call, path=found.path, target=found.below)
            answer = await service.answer(inside)
        except Refused as refused:
            _log.info("tcup's gateway answers %d to a %s", refused.status, call.method)
            answer = _worded(refused, found)
        if call.pieces is not None:
            async for _ in call.pieces:  # a client that is still sending would not hear the answer
                pass
        self._count(call, name, tenant, answer.status)
        return self._dated(answer)

    def refusal(self, call: Call, status: int) -> Answer:
        """An error of this status in the words of the service."""
        refused = Refused(status, "The fault script of the sandbox asked for this.")
        return self._dated(_worded(refused, self._find(call.target)))

    def spoil(self, kind: str, answer: Answer) -> Answer:
        """``answer`` made wrong in the way of one of ``fault_kinds``."""
        spoiled = _PAGE if kind == "html_200" else json_answer(envelope(500, "internal error"))
        return self._dated(spoiled)

    # -- for the sandbox's page and control ----------------------------------------------------------------------------

    async def view(self) -> View:
        """Of all tenants."""
        known = {tenant.user: self.services(tenant) for tenant in self._known}
        counters = {
            "calls": self.counters.requests.total(),
            "refused for the rate limit": self.counters.refused,
            "not authorized": self.counters.unauthorized,
            "sensors": sum(len(one.sos.sensors) for one in known.values()),
            "files": sum(len(one.dls.files()) for one in known.values()),
            "tasks": sum(len(one.tasks.engine.tasks) for one in known.values()),
            "messages published": sum(books.published for books in self.streams.books.values()),
            "messages delivered": sum(books.delivered for books in self.streams.books.values()),
        }
        return View(
            counters,
            {"observations": sum(len(one.sos.observations) for one in known.values())},
            [*self._rates(), *(gauge for user, one in known.items() for gauge in viewing.quota(user, one.dls))],
            [work for one in known.values() for work in viewing.tasks(one.tasks.engine, one.workflows)],
            list(viewing.channels(self.streams, self.mqtt.realms)),
            list(viewing.gaps(self.streams, self.mqtt.realms)),
        )

    def secrets(self) -> list[str]:
        """The keys of all tenants, and of their data lakes' users."""
        return [secret for tenant in self._known for secret in tenant.secrets()]

    async def reset(self) -> None:
        """Break off all streams, and begin anew with the same tenants and keys; revoked ones are good again."""
        self.streams.reset()
        old, self._services = list(self._services.values()), {}
        self._recent.clear()
        self.calls.clear()
        self.counters = Counters()
        for tenant in self._known:
            tenant.alone()
            self._move_in(tenant)
        await asyncio.gather(*(one.close() for services in old for one in services.all()))

    def moved(self) -> None:
        """Tasks and workflows begin that are due by now."""
        for services in self._services.values():
            services.tasks.engine.timers.tick()

    def _rates(self) -> Iterator[Gauge]:
        if (limit := self.options.rate) is None:
            return
        now = self.clock.now()
        for tenant in self._known:
            recent = [at for at in self._recent[tenant.api_key] if now - at < 1.0]
            resets_in = recent[0] + 1.0 - now if recent else None
            yield Gauge(f"{tenant.user}: calls a second", len(recent), limit, "calls", resets_in)

    # -- the gateway ---------------------------------------------------------------------------------------------------

    @cached_property
    def _inventor(self) -> Inventor:
        seed = self.place.seed
        return Inventor(None if seed is None else f"tcup:{seed}")

    def _find(self, target: str) -> _Found | None:
        """The service, by the path as it came or percent-decoded."""
        for option, service in _SERVED.items():
            if (rest := below(target, self._bases[option])) is not None:
                return _Found(service, self._bases[option], rest)
        return None

    def _let_in(self, call: Call, tenant: Tenant, found: _Found | None) -> None:
        """Raises 429 and 401."""
        now = self.clock.now()
        recent = self._recent[tenant.api_key]
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        if self.options.rate is not None:
            if len(recent) >= self.options.rate:
                raise Refused(429, "too many requests", headers={"Retry-After": "1"})
            recent.append(now)
        if self.options.auth_mode == "jwt" and found is not None:
            authorization = call.headers.get("Authorization", "")
            now_there = self.clock.utcnow() + timedelta(seconds=self.options.date_skew)
            check_token(authorization, tenant, self.options.symmetric_key_encoding, found.base, now_there)

    def _count(self, call: Call, name: str, tenant: Tenant | None, status: int) -> None:
        self.counters.requests[name] += 1
        self.counters.statuses[status] += 1
        self.counters.refused += status == 429
        self.counters.unauthorized += status in (401, 403)
        user = None if tenant is None else tenant.user
        self.calls.append(ServiceCall(name, user, call.method, call.path, status, self.clock.now()))

    def _dated(self, answer: Answer) -> Answer:
        date = self.clock.utcnow() + timedelta(seconds=self.options.date_skew)
        return replace(answer, headers={**answer.headers, "Date": format_datetime(date, usegmt=True)})


class _Found(NamedTuple):
    """The service of a path: its class, its base path, and what follows that."""

    service: type[Service]
    base: str
    below: str

    @property
    def path(self) -> str:
        """What follows the base, percent-decoded."""
        return "/".join(("", *segments(self.below))) if self.below else ""


def _worded(refused: Refused, found: _Found | None) -> Answer:
    return error_answer(refused) if found is None else found.service.worded(refused)
