"""A Redis server as a store: one script, asked with a deadline and without the client's own repetitions."""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from yarl import URL

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, RateStoreUnavailable

try:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as NoConnection
    from redis.exceptions import NoScriptError, RedisError
    from redis.exceptions import TimeoutError as NoAnswer
except ImportError as error:
    raise ImportError("asyncconn.integrations.redis needs redis-py: pip install 'asyncconn[redis]'") from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncconn.core.secret import Secret

__all__ = ["Server"]

logger = logging.getLogger("asyncconn.rates")

_SCRIPT = files(__package__).joinpath("rates.lua").read_text(encoding="utf-8")
# Shares of the timeout that a call and its repetitions may take: an answer that is lost costs little, and a server that
# hangs is told of before twice the timeout is over.
_TRIES = (0.1, 0.4, 1.25)

# The server need not know which library this is: two calls a connection, and a look at the disk. How that is said has
# changed with 7.2.
_NAMELESS: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)


class Server(Unpicklable):
    """One server, by its URL, for all loops of the process: each has connections of its own while somebody uses them.

    ``timeout`` is the seconds within which it must answer.
    """

    _elsewhere = "make another one there, of the same URL"

    def __init__(self, url: Secret, timeout: float) -> None:
        self._url = url
        self.timeout = timeout
        self.shown = _without_credentials(url)
        self.calls = 0  # of the script
        self.gone = False  # as its last call said
        self._connections: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Connections]
        self._connections = weakref.WeakKeyDictionary()

    def enter(self) -> None:
        """Somebody uses it on this loop, until :meth:`leave`."""
        self._here().users += 1

    async def leave(self) -> None:
        """One user fewer; the last one closes the connections."""
        here = self._here()
        here.users -= 1
        if here.users <= 0:
            self._connections.pop(asyncio.get_running_loop(), None)
            await here.client.aclose()

    def _here(self) -> _Connections:
        loop = asyncio.get_running_loop()
        if loop not in self._connections:
            self._connections[loop] = _Connections(self._url, self.timeout)
        return self._connections[loop]

    async def check(self) -> None:
        """Raise ``ConfigError`` where it may forget keys, ``RateStoreUnavailable`` where it does not answer."""
        await self._asked(self._fit)

    async def _fit(self, client: Redis) -> None:
        self._here().fit = True
        policy = (await client.info("memory")).get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            self._here().fit = False
            raise ConfigError(
                f"the Redis server at {self.shown} may forget what was counted: its maxmemory-policy is {policy}, and "
                "has to be noeviction"
            )

    async def ask(self, keys: Sequence[str], arguments: Callable[[], Sequence[str | int | float]]) -> list[int]:
        """Run the script; ``arguments`` are asked for again where the call is repeated, for ages have grown.

        Raises ``RateStoreUnavailable``, or ``ConfigError`` for a server that may forget keys.
        """

        async def call(client: Redis) -> list[int]:
            if not self._here().fit:
                await self._fit(client)
            self.calls += 1
            given = [*keys, *arguments()]
            sha = self._here().sha
            try:
                if sha is None:
                    raise NoScriptError
                answer: list[int] = await client.evalsha(sha, len(keys), *given)
            except NoScriptError:  # its first call, or it was started again
                self._here().sha = await client.script_load(_SCRIPT)
                answer = await client.eval(_SCRIPT, len(keys), *given)
            return answer

        answer: list[int] = await self._asked(call)
        return answer

    async def _asked(self, call: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What ``call`` gives, repeated where it fails: each call of the script has a number, so that is harmless."""
        here = self._here()
        for share in _TRIES:
            try:
                async with asyncio.timeout(self.timeout * share):
                    answer = await call(here.client)
            except (RedisError, OSError, TimeoutError) as error:
                failed = error
                here.fit = False  # it may be another server that answers next
            else:
                self._tell(gone=False)
                return answer
        why = _why(failed, self.timeout)
        self._tell(gone=True, why=why)
        raise RateStoreUnavailable(f"the Redis server at {self.shown} {why}") from failed

    def _tell(self, *, gone: bool, why: str = "") -> None:
        if gone and not self.gone:
            logger.warning("rates are shared through the Redis server at %s, and it %s", self.shown, why)
        elif self.gone and not gone:
            logger.warning("the Redis server at %s is back", self.shown)
        self.gone = gone

    async def look(self, call: Callable[[Redis], Awaitable[Any]]) -> Any:
        """What ``call`` gives, for people who look at what is stored. Raises ``RateStoreUnavailable``."""
        self.enter()
        try:
            return await self._asked(call)
        finally:
            await self.leave()


class _Connections:
    """The connections of one loop, who uses them, and what is known of the server that they lead to."""

    def __init__(self, url: Secret, timeout: float) -> None:
        self.users = 0
        self.fit = False  # whether it was asked that it forgets nothing
        self.sha: str | None = None
        # Its own repetitions would hide a server that hangs, and repeat what has been done.
        never = Retry(NoBackoff(), 0)
        self.client: Redis = Redis.from_url(
            url.get_secret_value(),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=never,
            health_check_interval=0,
            **_NAMELESS,
        )


def _why(error: BaseException, timeout: float) -> str:
    if isinstance(error, TimeoutError | NoAnswer):
        return f"does not answer within {timeout:g} s"
    if isinstance(error, NoConnection | OSError):
        return f"cannot be reached ({type(error).__name__})"
    return f"refuses: {error}"


def _without_credentials(url: Secret) -> str:
    try:
        parse_url(url.get_secret_value())
        return str(URL(url.get_secret_value()).with_user(None).with_password(None).with_query(None))
    except ValueError:
        problem = "the URL of a Redis server is redis://host:port/database, or rediss:// with TLS"
    raise ConfigError(problem)  # out here it has no context: that may quote a password
