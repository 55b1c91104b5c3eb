"""What the two servers have in common: a socket of their own, users, errors, faults, and an end in bounded time."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.atoti_limits.problems import ErrorStyle, Problem, problem_answer
from asyncconn.sandbox.atoti_limits.users import JWT_KEY, User, authenticate, default_users, sign
from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.faults import Faults
from asyncconn.sandbox.log import Log
from asyncconn.sandbox.server import Server, Stopping
from asyncconn.sandbox.world import Place, World

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Coroutine
    from types import TracebackType

    from asyncconn.sandbox.exchange import Arrival, Call

__all__ = ["Fake", "path_below"]

_HOP_SECONDS = 5.0  # longest wait of one server for the other, in one request


@dataclass(kw_only=True, eq=False, repr=False)
class Fake(World):
    """A server on a socket of its own; all but ``host``, ``port`` and ``base_path`` may be changed while it runs.

    ``base_path`` (such as ``/foo/bar``) is put before every path. ``users`` by name, ``jwt_key`` signs and checks
    ``Jwt`` tokens, ``bearer_tokens`` maps an opaque token to a user's name. ``latency`` is added to each answer, in
    seconds. ``error_style`` is the format of errors and ``stack_traces`` puts an invented trace into those that can
    have one. ``down`` begins without listening; see :meth:`come_up`. ``faults`` strikes requests that arrive here,
    ``log`` notes them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    base_path: str = ""
    users: dict[str, User] = field(default_factory=default_users)
    jwt_key: str = JWT_KEY
    bearer_tokens: dict[str, str] = field(default_factory=dict)
    latency: float = 0.0
    error_style: ErrorStyle = "concise"
    stack_traces: bool = False
    down: bool = False
    faults: Faults = field(default_factory=Faults)
    clock: Clock = field(default_factory=SystemClock)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        if self.latency < 0:
            raise ConfigError("latency must be 0 seconds or more")
        if self.base_path and (not self.base_path.startswith("/") or self.base_path.endswith("/")):
            raise ConfigError(f"base_path must be empty or like '/foo/bar', not {self.base_path!r}")
        self.settle(Place(self.host, self.clock, self.faults, log=self.log))
        self._server = Server((self,), self.place)
        self._client: aiohttp.ClientSession | None = None
        self._entered = False
        self._reserved: socket.socket | None = None

    # -- for the user --------------------------------------------------------------------------------------------------

    @property
    def arrivals(self) -> deque[Arrival]:
        """When which request arrived, those that a fault struck included."""
        return self._server.arrivals

    @property
    def requests(self) -> Counter[str]:
        """Requests that arrived, by ``METHOD path``; the path is without ``base_path``."""
        return Counter(f"{call.method} {path_below(self.base_path, call.path)}" for call in self.arrivals)

    def token(self, user: str = "admin", *, expires_in: float = 3600.0) -> str:
        """A token for ``Authorization: Jwt``, good here for ``expires_in`` seconds (negative: expired already)."""
        return sign(user, self.jwt_key, self.clock.utcnow() + timedelta(seconds=expires_in))

    async def go_down(self) -> None:
        """Refuse connections, and end those that are open; the port stays ours."""
        if self._url is None:
            raise LifecycleError(f"{type(self).__name__} is not open")
        self.down = True
        if self._reserved is None:
            await self._server.stop()
            self._reserved = _reserve(self.host, self.port)

    async def come_up(self) -> None:
        """Listen again on the same port. What was stored is still there."""
        if self._url is None:
            raise LifecycleError(f"{type(self).__name__} is not open")
        self.down = False
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
            await self._server.start(self.port)

    # -- opening and closing -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises :class:`~asyncconn.errors.ConfigError` when the address cannot be had."""
        if self._entered:
            raise LifecycleError(f"a {type(self).__name__} is entered once; make a new one")
        self._entered = True
        try:
            url = await self._server.start(self.port)
            self.port = int(url.rpartition(":")[2])
            timeout = aiohttp.ClientTimeout(total=_HOP_SECONDS)
            self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)
            await self.open(url + self.base_path)
            if self.down:
                await self.go_down()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything; takes at most about a second."""
        await self.close()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        try:
            await self._server.stop()
        finally:
            client, self._client = self._client, None
            try:
                await self.let_go()
            finally:
                if client is not None:
                    await client.close()

    async def let_go(self) -> None:
        """End what is still going on when no more requests come."""

    async def pause(self, seconds: float) -> None:
        """Wait, but not longer than this server listens."""
        await self._server.pause(seconds)

    async def while_open(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``, but give it up when this server closes. Raises 503 then."""
        try:
            await self._server.while_open(work)
        except Stopping:
            raise Problem(503, "The server is closing") from None

    @property
    def client(self) -> aiohttp.ClientSession:
        """For the requests to the other server."""
        if self._client is None:
            raise LifecycleError(f"{type(self).__name__} is not open")
        return self._client

    async def reset(self) -> None:
        """Forget the requests."""
        self.arrivals.clear()
        self._server.requests.clear()

    def secrets(self) -> list[str]:
        """The key of tokens, tokens, and passwords, but those that are their user's name: paths have that, too."""
        passwords = [user.password for user in self.users.values() if user.password != user.name]
        return [*passwords, self.jwt_key, *self.bearer_tokens]

    # -- for the server ------------------------------------------------------------------------------------------------

    async def answer(self, call: Call) -> Answer:
        """Carry the request out, and answer it ``latency`` seconds later."""
        if self.latency:
            await self.pause(self.latency)
        try:
            return await self.serve(call)
        except Problem as problem:
            return problem_answer(problem, call.path, self.error_style, stack_traces=self.stack_traces)

    async def serve(self, call: Call) -> Answer:
        """Carry the request out. Raises :class:`Problem`."""
        raise NotImplementedError

    def refusal(self, call: Call, status: int) -> Answer:
        """An error of this status in the format of ``error_style``."""
        headers = {"WWW-Authenticate": 'Basic realm="atoti"'} if status == 401 else {}
        problem = Problem(status, "The fault script of the sandbox asked for this.", headers=headers)
        return problem_answer(problem, call.path, self.error_style, stack_traces=self.stack_traces)

    def caller(self, call: Call) -> User:
        """Who asks. Raises 401."""
        return authenticate(
            call.headers,
            self.users,
            jwt_key=self.jwt_key,
            bearer_tokens=self.bearer_tokens,
            now=self.clock.utcnow(),
        )


def path_below(base_path: str, path: str) -> str:
    """``path`` without ``base_path``; empty when it is not below it."""
    if not base_path:
        return path
    rest = path.removeprefix(base_path)
    return rest if rest != path and rest.startswith("/") else ""


def _reserve(host: str, port: int) -> socket.socket:
    """Hold the port without listening, so that connections are refused and nobody else gets it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder
