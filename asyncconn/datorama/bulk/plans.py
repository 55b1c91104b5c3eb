"""A bulk call before its first request: what it will send, to be looked at and then carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.tables import MOST_ROWS, html_table
from asyncconn.core.words import count
from asyncconn.datorama.bulk.progress import seconds_for
from asyncconn.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncconn.datorama.bulk.progress import BulkProgress
    from asyncconn.datorama.bulk.results import BulkResult
    from asyncconn.datorama.calling import Calling

__all__ = ["Plan", "PlannedCall", "planned"]

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One request; ``body`` is its JSON, None where it has none."""

    method: str
    path: str
    body: Any = None


def planned(calling: Calling, name: str, body: Any = None, **ids: int) -> PlannedCall:
    """A call by its name."""
    return PlannedCall(*calling.pool.paths.resolve(name, **ids), body)


class Plan(Generic[K, T]):
    """What a bulk call will do. Nothing has been changed yet, and :meth:`run` does this and nothing else.

        >>> plan = await datorama.plan_process(streams, "2026-01-01", "2026-03-31")
        >>> print(len(plan.calls), plan.jobs, plan.seconds)
        >>> result = await plan.run()

    ``calls``: the requests, which go out as the tokens' limits and the room in their workspaces allow. A batch that the
    platform refuses is sent again in halves. ``jobs``: how many they bring; None where that is not known before.
    """

    def __init__(
        self,
        calling: Calling,
        calls: Sequence[PlannedCall],
        work: Callable[[Callable[[BulkProgress], object] | None], Awaitable[BulkResult[K, T]]],
        *,
        jobs: int | None = None,
    ) -> None:
        self.calls = tuple(calls)
        self.jobs = jobs
        self._calling = calling
        self._work = work
        self._begun = False

    def __repr__(self) -> str:
        jobs = "" if self.jobs is None else f", for {count(self.jobs, 'job')}"
        return f"<Plan of {count(len(self.calls), 'call')}{jobs}; {'carried out' if self._begun else 'not begun'}>"

    def _repr_html_(self) -> str:
        rows = [(call.method, call.path) for call in self.calls[:MOST_ROWS]]
        return html_table(("method", "path"), rows, title=repr(self).strip("<>"), noun="call", total=len(self.calls))

    @property
    def seconds(self) -> float:
        """Until the last call may begin, as the tokens' limits stand now."""
        return seconds_for(self._calling.pool.transports, len(self.calls)) if self.calls else 0.0

    async def run(self, *, on_progress: Callable[[BulkProgress], object] | None = None) -> BulkResult[K, T]:
        """Carry it out, once; an item for each input. Raises ``LifecycleError`` the second time."""
        if self._begun:
            raise LifecycleError("this plan has been carried out: make another one")
        self._begun = True
        return await self._work(on_progress)
