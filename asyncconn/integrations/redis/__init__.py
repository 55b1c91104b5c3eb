"""Redis: one platform's cap for all processes of all machines that use a credential.

>>> async with Hub(shared_rates=RedisRates("redis://localhost:6379/0")) as hub:
...     datorama = Datorama(token, hub=hub)  # its 60 calls a minute are those of all who share the store
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from asyncconn.core.durations import positive
from asyncconn.core.rates.parts import Part
from asyncconn.core.rates.quota import Quota
from asyncconn.core.rates.windows import TokenBucket, Window
from asyncconn.core.secret import secret
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, RateStoreUnavailable
from asyncconn.integrations.redis import books
from asyncconn.integrations.redis.books import SharedRate
from asyncconn.integrations.redis.parts import Cap, SharedBucket, SharedWindow
from asyncconn.integrations.redis.quotas import RedisQuotaStore
from asyncconn.integrations.redis.server import Server
from asyncconn.settings import variable

if TYPE_CHECKING:
    from types import TracebackType

    from asyncconn.core.rates.registry import Rates
    from asyncconn.core.secret import Concealed

__all__ = ["RedisRates", "SharedRate"]

#: The variable that has the address of the server.
URL = "ASYNCCONN_REDIS_URL"

logger = logging.getLogger("asyncconn.rates")


class RedisRates(Unpicklable):
    """Turns the windows, buckets and quotas of every credential into shared ones, kept in a Redis server.

        >>> async with Hub(shared_rates=RedisRates("redis://localhost:6379/0", prefix="asyncconn")) as hub: ...

    All hubs with the same server, ``prefix``, platform, address and credential keep one cap together. A part of a class
    of your own stays each process's, as does a ``Quota`` with a store of its own; the log says so once at INFO.

    The server must answer within ``timeout`` seconds. When it does not, calls get ``RateStoreUnavailable`` within twice
    that, and are not sent (``gone="fail"``). With ``gone="share"`` each process goes on by itself, with the limit
    divided by ``processes``: from when nothing that was granted before can count any more, until the server is back.
    Raises ``ConfigError`` for a URL or a setting that cannot be.
    """

    _elsewhere = "make another one there, of the same URL and prefix"

    def __init__(
        self,
        url: str | Concealed,
        *,
        prefix: str = "asyncconn",
        timeout: float = 1.0,
        gone: Literal["fail", "share"] = "fail",
        processes: int | None = None,
    ) -> None:
        url = secret(url)  # before anything is raised: what a traceback can show of this frame is masked
        positive("timeout", timeout)
        if not prefix or any(one in "{}*?[]\\" or one.isspace() for one in prefix):
            raise ConfigError(f"a prefix is a word without brackets or wildcards, not {prefix!r}")
        if gone not in ("fail", "share") or (gone == "share") != (processes is not None):
            raise ConfigError('gone is "fail", or "share" with the number of processes')
        if processes is not None and processes < 1:
            raise ConfigError(f"processes must be at least 1, not {processes!r}")
        self._server = Server(url, timeout)
        self._prefix = prefix
        self._alone = processes
        self._told: set[tuple[str, str]] = set()

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """From the variable ``ASYNCCONN_REDIS_URL``, in the environment or ``.env``; ``options`` are the constructor's.

        Raises ``ConfigError`` where it is not set.
        """
        url = secret(variable(URL) or "")
        if not url:
            raise ConfigError(f"the variable {URL} is not set: it is redis://host:port/database")
        return cls(url, **options)

    def __repr__(self) -> str:
        server = getattr(self, "_server", None)  # a traceback may show one that is half made
        return "<RedisRates>" if server is None else f"<RedisRates at {server.shown}>"

    # -- for the hub ---------------------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Look at the server. Raises ``ConfigError`` where it may forget keys by itself (``maxmemory-policy``).

        ``RateStoreUnavailable`` where it cannot be asked; not with ``gone="share"``.
        """
        self._server.enter()
        try:
            await self._server.check()
        except RateStoreUnavailable:
            if self._alone is None:
                await self._server.leave()
                raise
        except BaseException:
            await self._server.leave()
            raise
        return self

    async def aclose(self) -> None:
        """Close the connections, unless another hub of this loop uses them."""
        await self._server.leave()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def share(self, platform: str, credential: str, rates: Rates) -> Rates:
        """Shared parts for this credential, in the shape of ``rates``."""
        if rates is None:
            return None
        named = rates if isinstance(rates, Mapping) else {"default": rates}
        several = {name: some if isinstance(some, Sequence) else [some] for name, some in named.items()}
        account = self._key(platform, credential)
        made: dict[int, Part] = {}
        names: dict[str, int] = {}  # by the name of a part, which one has it: one of another kind of call says so
        for kind, some in several.items():
            for part in some:
                if id(part) not in made:
                    place = part.name if names.setdefault(part.name, id(part)) == id(part) else f"{kind}.{part.name}"
                    cap = Cap(self._server, f"{account}:{place}", f"{platform}/{place}", self._alone)
                    made[id(part)] = self._shared(cap, platform, part)
        return {kind: [made[id(part)] for part in some] for kind, some in several.items()}

    def _key(self, platform: str, credential: str) -> str:
        """Of whoever may read the store, only who has the credential knows which keys are its."""
        digest = hmac.new(credential.encode(), platform.encode(), hashlib.sha256).hexdigest()
        return f"{self._prefix}:{{{digest[:40]}}}"

    def _shared(self, cap: Cap, platform: str, part: Part) -> Part:
        if type(part) is Window:
            return SharedWindow(cap, part.limit, part.period, skew=part.skew, name=part.name)
        if type(part) is TokenBucket:
            return SharedBucket(cap, part.rate, part.limit, name=part.name)
        if type(part) is Quota and part.store is None:
            return part.kept_in(RedisQuotaStore(cap, part.limit))
        if (platform, part.name) not in self._told:
            self._told.add((platform, part.name))
            logger.info(
                "%s: %s (%s) is not shared: it stays this process's own", platform, part.name, type(part).__name__
            )
        return part

    # -- for people ----------------------------------------------------------------------------------------------------

    async def show(self) -> list[SharedRate]:
        """Every limit in the store that somebody has used lately. Raises ``RateStoreUnavailable``."""
        found: list[SharedRate] = await self._server.look(lambda client: books.read(client, self._prefix))
        return found

    async def reset(self, platform: str | None = None) -> int:
        """Forget what was counted for ``platform``, or for all: how many limits those were.

        The platform itself forgets nothing: calls of the last period still count there.
        """
        forgotten: int = await self._server.look(lambda client: books.forget(client, self._prefix, platform))
        return forgotten
