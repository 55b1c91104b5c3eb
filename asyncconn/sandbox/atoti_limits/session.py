"""The Atoti session: versions, ping, discovery, and the endpoints that connect it to Limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from asyncconn.errors import ConfigError
from asyncconn.sandbox.atoti_limits.discovery import (
    CONTENT,
    PIVOT,
    Cube,
    Slicing,
    VersionsStyle,
    discovery,
    slicing_hierarchies,
    versions,
)
from asyncconn.sandbox.atoti_limits.fake import Fake, path_below
from asyncconn.sandbox.atoti_limits.hop import Dialer, Hop, Target
from asyncconn.sandbox.atoti_limits.problems import Problem, json_answer
from asyncconn.sandbox.atoti_limits.users import User, basic, sign
from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call

__all__ = ["BODIES", "FakeAtotiSession"]

_VERSIONS = "/versions/rest"
_AUTOCONFIG = "/limits/autoconfig/"
_CONNECT, _CONNECTED, _DISCONNECT = (_AUTOCONFIG + word for word in ("connect", "connected", "disconnect"))
_FIELDS = ("atotiBaseUrl", "limitsBaseUrl", "serverName")

#: What ``connected_body`` may be called, and what is then answered instead of a JSON boolean.
BODIES: dict[str, tuple[bytes, str]] = {
    "text": (b"connected", "text/plain"),
    "number": (b"1", "application/json"),
    "string": (b'"true"', "application/json"),
    "null": (b"null", "application/json"),
    "object": (b'{"connected": true}', "application/json"),
    "html": (b"<!doctype html><html><body>true</body></html>", "text/html"),
    "empty": (b"", "application/json"),
    "half": (b"tr", "application/json"),
}


@dataclass(kw_only=True, eq=False, repr=False)
class FakeAtotiSession(Fake):
    """An Atoti session on loopback, for as long as its ``async with`` lasts.

        async with FakeLimitsServer() as limits, FakeAtotiSession(limits_url=limits.url) as session:
            ...  # POST {session.url}/limits/autoconfig/connect

    ``generation`` 1 has no autoconfig endpoints and connects by itself once there is a cube, 2 has no ``disconnect``
    and reads no body, 3 checks the body of ``connect``. ``limits_url`` is where 1 and 2 find Limits.

    The connection: ``connection_delay`` seconds between attempts, at most ``connection_attempts`` (-1: no end),
    ``never_connects`` accepts a ``connect`` and does nothing, ``wrong_jwt_key`` signs with a key that Limits does not
    know, ``server_name`` is what generations 1 and 2 call themselves, ``service_principal`` the user they come as.

    What it says of itself: ``cubes`` with ``slicing`` (``ok``, ``missing``, ``ambiguous``, ``unverified``),
    ``versions_style`` (see :func:`~asyncconn.sandbox.atoti_limits.discovery.versions`), ``pre6_wrapper`` around the
    discovery, ``server_version``. ``not_ready`` answers 503 to all but admins, ``extension_loaded`` False 404.

    What ``connected`` says: ``connected_body`` is one of :data:`BODIES` or bytes; ``connected_script`` answers one
    after the other before the truth is told again (a bool, an HTTP status, or bytes); ``flapping`` says true and false
    in turn once connected. All may be changed while it runs.
    """

    name = "atoti-session"

    limits_url: str | None = None
    generation: Literal[1, 2, 3] = 3
    rest_version: Literal["v1", "v2"] = "v2"
    server_name: str = "atoti"
    service_principal: str = "admin"
    server_version: str = "6.1.16"
    connection_delay: float = 0.05
    connection_attempts: int = -1
    never_connects: bool = False
    wrong_jwt_key: bool = False
    cubes: list[Cube] = field(default_factory=lambda: [Cube()])
    slicing: Slicing = "ok"
    versions_style: VersionsStyle = "sdk"
    pre6_wrapper: bool = False
    not_ready: bool = False
    extension_loaded: bool = True
    connected_body: str | bytes | None = None
    connected_script: Sequence[bool | int | bytes] = ()
    flapping: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generation not in (1, 2, 3):
            raise ConfigError(f"generation must be 1, 2 or 3, not {self.generation!r}")
        if self.connection_delay <= 0:
            raise ConfigError("connection_delay must be above 0 seconds")
        if isinstance(self.connected_body, str) and self.connected_body not in BODIES:
            raise ConfigError(f"connected_body must be bytes or one of {', '.join(BODIES)}")
        self._flap = False
        self._dialer = Dialer(self._hop, lambda: self.connection_delay, lambda: self.connection_attempts)

    # -- for the user --------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether Limits has accepted; no knob changes this."""
        return self._dialer.connected is not None

    @property
    def trying(self) -> bool:
        """Whether it is asking Limits to connect, or will again."""
        return self._dialer.trying

    @property
    def attempts(self) -> int:
        """How often the session has asked Limits to connect."""
        return self._dialer.attempts

    @property
    def failures(self) -> list[str]:
        """Why attempts did not work, the last hundred."""
        return list(self._dialer.failures)

    async def add_cube(self, name: str = "Cars_Cube", slicing: Slicing | None = None) -> None:
        """Add a cube; a session of generation 1 then connects by itself."""
        self.cubes.append(Cube(name, slicing))
        await self._connect_by_itself()

    async def reset(self) -> None:
        """Be connected to nobody; a session of generation 1 connects anew by itself."""
        await super().reset()
        await self._dialer.forget()
        if self._url is not None:
            await self._connect_by_itself()

    # -- for the server ------------------------------------------------------------------------------------------------

    async def open(self, url: str) -> None:
        """The server listens on ``url``."""
        await super().open(url)
        await self._connect_by_itself()

    async def let_go(self) -> None:
        """Stop trying to connect."""
        await self._dialer.stop()

    async def serve(self, call: Call) -> Answer:
        """Carry the request out. Raises :class:`Problem`."""
        answer = await self._route(call, path_below(self.base_path, call.path))
        # A client must not need it: it is never read.
        return replace(answer, headers={**answer.headers, "Set-Cookie": "JSESSIONID=made-up; Path=/; SameSite=Lax"})

    async def _route(self, call: Call, path: str) -> Answer:
        if path == _VERSIONS:
            _only(call, "GET")
            return json_answer(versions(self.versions_style, self.server_version))
        user = self.caller(call)
        if path.startswith(_AUTOCONFIG) and "ROLE_USER" not in user.roles:
            raise Problem(403, f"User {user.name} does not have ROLE_USER")
        if self.not_ready and "ROLE_ADMIN" not in user.roles:
            raise Problem(503, "The session is not ready")
        pivot = path.replace("/activeviam/pivot/rest/v9/", PIVOT + "/", 1)
        if pivot == f"{PIVOT}/ping":
            _only(call, "GET")
            return Answer(200, b"pong")
        if pivot == f"{PIVOT}/cube/discovery":
            _only(call, "GET")
            found = discovery(self.cubes, self.slicing)
            return json_answer({"status": "success", "data": found} if self.pre6_wrapper else found)
        if self.extension_loaded and self.generation > 1:
            return await self._autoconfig(call, path)
        raise Problem(404)

    # -- autoconfig ----------------------------------------------------------------------------------------------------

    async def _autoconfig(self, call: Call, path: str) -> Answer:
        if path == _CONNECT:
            _only(call, "POST")
            target = self._own_target() if self.generation == 2 else _target(call.body)
            if not self.never_connects:
                await self._dialer.connect(target)
            return Answer(200)
        if path == _CONNECTED:
            _only(call, "GET")
            return self._connected_answer()
        if path == _DISCONNECT and self.generation == 3:
            _only(call, "POST")
            await self._dialer.disconnect()
            return Answer(200)
        raise Problem(404)

    def _connected_answer(self) -> Answer:
        if self.connected_script:
            scripted, *self.connected_script = self.connected_script
            if isinstance(scripted, bool):
                return json_answer(scripted)
            if isinstance(scripted, int):
                raise Problem(scripted)
            return Answer(200, scripted, "application/json")
        if isinstance(self.connected_body, bytes):
            return Answer(200, self.connected_body, "application/json")
        if self.connected_body is not None:
            return Answer(200, *BODIES[self.connected_body])
        self._flap = self.connected and not self._flap
        return json_answer(self._flap if self.flapping else self.connected)

    async def _connect_by_itself(self) -> None:
        if self.generation == 1 and self.cubes and self.limits_url and not self.never_connects:
            await self._dialer.connect(self._own_target())

    def _own_target(self) -> Target:
        if self.limits_url is None:
            raise Problem(500, "This session was not told where Limits is")
        return Target(self.url, self.limits_url.rstrip("/"), self.server_name)

    def _hop(self) -> Hop:
        principal = self.users.get(self.service_principal, User(self.service_principal, ""))
        if self.generation == 1:
            authorization = basic(principal)
        elif self.wrong_jwt_key:
            expires = self.clock.utcnow() + timedelta(hours=1)
            authorization = f"Jwt {sign(principal.name, f'not {self.jwt_key}', expires)}"
        else:
            authorization = f"Jwt {self.token(principal.name)}"
        return Hop(
            client=self.client,
            rest=f"/limits/rest/{self.rest_version}",
            authorization=authorization,
            as_of_date=next(iter(slicing_hierarchies(discovery(self.cubes, self.slicing))), ""),
            server_version=self.server_version,
            content_path=CONTENT,
        )


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise Problem(405, headers={"Allow": method})


def _target(body: bytes) -> Target:
    """Read the body of a ``connect`` of generation 3. Raises 400."""
    try:
        asked: Any = json.loads(body)
    except ValueError as error:
        raise Problem(400, "The body is not JSON") from error
    if not isinstance(asked, dict):
        raise Problem(400, "The body is not a JSON object")
    for name in _FIELDS:
        value = asked.get(name)
        if not isinstance(value, str) or not value:
            raise Problem(400, f"{name} is missing, or is not a text")
        if name != "serverName" and urlsplit(value).scheme not in {"http", "https"}:
            raise Problem(400, f"{name} is not an http(s) URL")
    return Target(asked["atotiBaseUrl"].rstrip("/"), asked["limitsBaseUrl"].rstrip("/"), asked["serverName"])
