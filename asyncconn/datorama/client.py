"""The client: one or several tokens, their limits, and a noun for everything the platform has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from asyncconn.connector import Connector, Platform
from asyncconn.core.rates.stores import FileQuotaStore, QuotaStore
from asyncconn.core.rates.windows import Part, Quota, Window
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.secret import Concealed, is_secret, secret
from asyncconn.datorama import wire
from asyncconn.datorama.allowance import Allowance, allowances
from asyncconn.datorama.bulk.calls import BulkCalls
from asyncconn.datorama.bulk.nouns import Nouns
from asyncconn.datorama.calling import Calling
from asyncconn.datorama.paths import Paths
from asyncconn.datorama.pool import TokenPool
from asyncconn.datorama.refusals import TokenRules
from asyncconn.datorama.resources.accounts import Accounts, Authentications, PermissionSets, Users
from asyncconn.datorama.resources.dashboards import Dashboards
from asyncconn.datorama.resources.jobs import Jobs
from asyncconn.datorama.resources.modelling import (
    Calculated,
    Dimensions,
    HarmonizedDimensions,
    Measurements,
    Patterns,
)
from asyncconn.datorama.resources.queries import Queries, QueryResult
from asyncconn.datorama.resources.reference import Reference
from asyncconn.datorama.resources.reports import Reports
from asyncconn.datorama.resources.streams import Streams
from asyncconn.datorama.resources.workspaces import Workspaces
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.datorama.snapshots import Snapshots
from asyncconn.errors import ConfigError
from asyncconn.http.auth import HeaderKey
from asyncconn.http.redact import Redactor
from asyncconn.http.transport import Timeouts
from asyncconn.settings import load

if TYPE_CHECKING:
    from asyncconn.core.rates.limiter import RateSnapshot
    from asyncconn.http.auth import Auth
    from asyncconn.http.transport import Transport
    from asyncconn.hub import Hub

__all__ = ["Datorama", "DatoramaLimits"]

_YEARS = 1e8  # seconds: more calls than a day allows may wait for more than one day


@dataclass(frozen=True, slots=True, kw_only=True)
class DatoramaLimits:
    """What a token may do: calls a minute, queries a minute, and both together in a UTC day. Contract: section 4.1."""

    calls_per_minute: int = 60
    queries_per_minute: int = 200
    calls_per_day: int = 20_000


class Datorama(BulkCalls, Connector):
    """A client of Datorama (Marketing Cloud Intelligence).

        >>> async with Datorama(token, region="eu") as datorama:
        ...     async for workspace in datorama.workspaces.list():
        ...         async for stream in workspace.streams():
        ...             print(workspace.name, stream.name, stream.last_data_date)

    ``token`` is one, or several to be used in turn: each has its own 60 calls and 200 queries a minute and 20,000
    of both a UTC day, shared by every client of the loop. The server's headers may only tighten that. The day's count
    outlives the process with ``quota_store``, a file or a store; the token itself is not in it. When the day is used
    up, calls raise ``QuotaExhausted`` with ``resets_at``, or wait with ``wait_for_quota``.

    ``http.events``, ``rate`` and ``max_concurrency`` are those of all tokens together; ``http.request`` itself is a
    call with the first token, :meth:`call` takes whichever can go soonest.

    ``region`` is ``us``, ``us2``, ``eu`` or ``eu2``; ``base_url`` replaces its address (sandbox, proxy).
    ``sandbox_mode`` runs the calls in the account's own sandbox. ``paths`` replaces single paths.

    What queues work (process, rerun, create, a report's run) is never repeated when its outcome is unknown. Raises
    ``ConfigError`` for a token or region that cannot be. Contract: datorama sections 1, 4, 5.
    """

    platform = Platform(
        "datorama",
        # Long enough for a minute's window to pass, and for a 429 that names its reset.
        retry=RetryPolicy(attempts=6, initial=0.5, maximum=30.0, deadline=600.0, max_retry_after=120.0),
        timeouts=Timeouts(connect=10.0, total=90.0),  # a query may take 60 s
        rules=wire.DatoramaRules(),
    )

    def __init__(
        self,
        token: str | Concealed | Sequence[str | Concealed],
        *,
        hub: Hub | None = None,
        region: str = "us",
        base_url: str | None = None,
        sandbox_mode: bool = False,
        limits: DatoramaLimits | None = None,
        quota_store: QuotaStore | str | os.PathLike[str] | None = None,
        wait_for_quota: bool = False,
        paths: Paths | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_concurrency: int | None = None,
    ) -> None:
        given: Any = [token] if is_secret(token) else token
        if isinstance(given, Iterable):  # masked wherever this frame is shown
            token = given = [secret(one) if isinstance(one, str) else one for one in given]
        tokens = list(given) if isinstance(given, Iterable) else []
        if not tokens or not all(is_secret(one) for one in tokens):
            raise ConfigError("Datorama needs a token, or several of them: texts")
        allowed = limits or DatoramaLimits()
        store = FileQuotaStore(quota_store) if isinstance(quota_store, str | os.PathLike) else quota_store
        day = Quota(allowed.calls_per_day, store=store, wait=wait_for_quota, name=wire.DAILY)
        rates: dict[str, list[Part]] = {
            "default": [Window(allowed.calls_per_minute, 60.0, name=wire.PLATFORM), day],
            "query": [Window(allowed.queries_per_minute, 60.0, name=wire.QUERY), day],
        }
        auths = [HeaderKey("Authorization", one) for one in tokens]
        if len({auth.identity() for auth in auths}) < len(auths):
            raise ConfigError("a token is given twice: it would not have twice the calls")
        self._per_minute = allowed.calls_per_minute + allowed.queries_per_minute
        # An answer to one token may quote another of them.
        redactor = Redactor([one for auth in auths for one in auth.secrets()])
        super().__init__(
            hub=hub,
            base_url=base_url or wire.base_url(region),
            auth=auths[0],
            redactor=redactor,
            retry=retry,
            timeouts=_patient(timeouts or self.platform.timeouts) if wait_for_quota else timeouts,
            max_concurrency=max_concurrency,
            rates=rates,
        )
        headers = {**wire.HEADERS, **({"sandbox-mode": "true"} if sandbox_mode else {})}
        others = [self.transport(auth, redactor=redactor) for auth in auths[1:]]
        self.pool = TokenPool([self.http, *others], headers, paths=paths, wait_for_quota=wait_for_quota)
        calling = Calling(self.pool, self.hub.clock, self.hub.watching)

        self.jobs = Jobs(calling)
        self.streams = Streams(calling, self.jobs)
        self.workspaces = Workspaces(calling, self.streams)
        self.dimensions = Dimensions(calling)
        self.measurements = Measurements(calling)
        self.calculated_measurements = Calculated(calling, "calculated_measurements")
        self.filtered_measurements = Calculated(calling, "filtered_measurements")
        self.calculated_dimensions = Calculated(calling, "calculated_dimensions")
        self.patterns = Patterns(calling)
        self.harmonized_dimensions = HarmonizedDimensions(calling)
        self.accounts = Accounts(calling)
        self.users = Users(calling)
        self.permission_sets = PermissionSets(calling)
        self.authentications = Authentications(calling)
        self.dashboards = Dashboards(calling)
        self.reports = Reports(calling)
        self.queries = Queries(calling)
        self.reference = Reference(calling)
        self.snapshots = Snapshots(calling, self.workspaces, self.streams, self.jobs)
        self._nouns = Nouns(
            calling=calling, workspaces=self.workspaces, streams=self.streams, jobs=self.jobs, reports=self.reports
        )

    def transport(self, auth: Auth | None = None, **options: Any) -> Transport:
        """See :meth:`Connector.transport`. Each has rules of its own: what a 429 means may depend on those before."""
        return super().transport(auth, **{"rules": TokenRules(self._per_minute), **options})

    @classmethod
    def from_env(cls, *, hub: Hub | None = None, **options: Any) -> Self:
        """From ``ASYNCCONN_DATORAMA_TOKEN`` (or several, with commas), ``_REGION``, ``_BASE_URL``, ``_QUOTA_FILE``.

        ``options`` are the constructor's. Raises ``ConfigError`` naming what is missing.
        """
        settings = load(DatoramaSettings)
        given = {"region": settings.region, "base_url": settings.base_url, "quota_store": settings.quota_file}
        tokens = [part.strip() for part in settings.token.get_secret_value().split(",") if part.strip()]
        return cls(tokens, hub=hub, **{**given, **options})

    async def query(self, query: Mapping[str, Any], *, system_names: bool = False) -> QueryResult:
        """:meth:`asyncconn.datorama.resources.queries.Queries.run`."""
        return await self.queries.run(query, system_names=system_names)

    async def call(self, method: str, path: str, *, workspace_id: int | None = None, **options: Any) -> Any:
        """One call of a path that has no method of its own yet; its JSON, or None for an empty body.

        ``workspace_id`` helps several tokens to choose; ``options`` are those of ``http.request``.
        """
        return wire.json_of(await self.pool.request(method, path, workspace_id=workspace_id, **options))

    @property
    def paths(self) -> Paths:
        """The table of its calls."""
        return self.pool.paths

    @property
    def rate(self) -> RateSnapshot:
        """What may still be called: the books of the tokens' default limiters, added up. :attr:`rates` has each."""
        return self.pool.books("default")

    async def allowances(self) -> list[Allowance]:
        """What each token may still do, in this minute and today, as the server counts: a call for each.

            >>> for one in await datorama.allowances():
            ...     print(one.token, {name: part.remaining for name, part in one.parts.items()}, one.error)

        A token that is refused has its ``error``, and after a 429 only the parts that this told of. What our own books
        say, without a call, is in :attr:`rates`.
        """
        return await allowances(self.pool)

    @property
    def rates(self) -> list[dict[str, RateSnapshot]]:
        """For each token, in the order given, the books of its ``"default"`` and its ``"query"`` limiter."""
        return [
            {name: limiter.snapshot() for name, limiter in transport.limiters.items()}
            for transport in self.pool.transports
        ]


def _patient(timeouts: Timeouts) -> Timeouts:
    """The same, but a call may wait for the rate limit as long as that takes."""
    return replace(timeouts, rate=max(timeouts.rate, _YEARS))
