"""What became of each input of a bulk call. Contract: datorama section 11.7."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from asyncconn.core.frames import exact_frame
from asyncconn.core.notes import with_notes
from asyncconn.core.tables import MOST_ROWS, html_table
from asyncconn.core.words import count
from asyncconn.datorama.errors import BulkFailed
from asyncconn.datorama.models import DataStream, Workspace
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from asyncconn.datorama.dates import DateRange
    from asyncconn.datorama.models import Job

__all__ = ["RESULT_COLUMNS", "BulkResult", "Check", "Item", "Outcome", "Span"]

K = TypeVar("K")
T = TypeVar("T")

Outcome = Literal["ok", "failed", "unknown"]

#: The names in :meth:`BulkResult.rows`.
RESULT_COLUMNS = ("workspace", "stream", "job", "start", "end", "outcome", "skipped", "jobs", "error")


@dataclass(frozen=True, slots=True)
class Span:
    """Some days of a stream, both ends included."""

    stream: DataStream
    days: DateRange

    def __repr__(self) -> str:
        return f"Span({self.stream.id}, {self.days.start} to {self.days.end})"


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at the platform found of a write whose outcome was unknown.

    ``there``: all of it has arrived. ``jobs``: those it made, as far as there are some.
    """

    there: bool
    jobs: list[Job] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Generic[K, T]):
    """One input (``key``) and its outcome.

    ``"ok"`` with its ``value``; ``"failed"`` with its ``error``: it was not done, or a job that was waited for ended
    badly; ``"unknown"``: the platform may have carried it out, and :meth:`check` looks whether it did. Where an input
    took several requests the worst of them is the outcome, and ``value`` has what was accepted nevertheless.
    ``skipped``: an earlier run had done it.
    """

    key: K
    outcome: Outcome
    value: T | None = None
    error: AsyncConnError | None = None
    skipped: bool = False
    checking: Callable[[], Awaitable[Check]] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What it is about, in words: ``stream 7700101, 2026-01-01 to 2026-01-25``."""
        match self.key:
            case Workspace(id=number):
                return f"workspace {number}"
            case DataStream(id=number):
                return f"stream {number}"
            case Span(stream, days):
                return f"stream {stream.id}, {days.start} to {days.end}"
            case (DataStream(id=number), job):
                return f"job {job} of stream {number}"
        return str(self.key)

    def row(self) -> dict[str, Any]:
        """What it is about and what became of it, as one of the :meth:`BulkResult.rows`."""
        key: Any = self.key
        job = key[1] if isinstance(key, tuple) else None
        start, end = (key.days.start, key.days.end) if isinstance(key, Span) else (None, None)
        stream = key.stream if isinstance(key, Span) else key[0] if isinstance(key, tuple) else key
        workspace = key.id if isinstance(key, Workspace) else getattr(stream, "workspace_id", None)
        jobs = [one.id for one in self.value] if isinstance(self.value, list) else None
        error = None if self.error is None else with_notes(self.error)
        about = (workspace, stream.id if isinstance(stream, DataStream) else None, job, start, end)
        return dict(zip(RESULT_COLUMNS, (*about, self.outcome, self.skipped, jobs, error), strict=True))

    async def check(self) -> Check:
        """Look at the platform whether it was carried out: at least one call.

        ``ConfigError`` for an item that wrote nothing.
        """
        if self.checking is None:
            raise ConfigError(f"there is nothing to check: the item is {self.outcome}")
        return await self.checking()


class BulkResult(Generic[K, T]):
    """One :class:`Item` for each input, in the order of the inputs.

    >>> result = await datorama.process_streams(streams, "2026-01-01", "2026-01-31")
    >>> for item in result.unknown:
    ...     print(item.key, (await item.check()).there)
    >>> result.raise_for_failed()
    """

    def __init__(self, items: list[Item[K, T]], rows: Callable[[BulkResult[K, T]], pd.DataFrame] | None = None) -> None:
        self.items = items
        self._rows = rows

    @property
    def ok(self) -> list[Item[K, T]]:
        """Those that were carried out."""
        return self._with("ok")

    @property
    def failed(self) -> list[Item[K, T]]:
        """Those that were not, or whose job ended badly; each with its ``error``."""
        return self._with("failed")

    @property
    def unknown(self) -> list[Item[K, T]]:
        """Those that may have been: check before doing them again."""
        return self._with("unknown")

    @property
    def values(self) -> list[T]:
        """The values of all that is ok."""
        return [item.value for item in self.ok if item.value is not None]

    def raise_for_failed(self) -> None:
        """Raise ``BulkFailed``, with this result, unless everything is ok. The first error is its cause."""
        bad = [item for item in self.items if item.outcome != "ok"]
        if bad:
            raise BulkFailed(f"{self._counts()}; the first: {bad[0].error}", state=self) from bad[0].error

    def rows(self) -> list[dict[str, Any]]:
        """A row for each item, for a file: which workspace, stream, job and days; outcome, new jobs and error.

        >>> await save_rows("result.csv", result.rows())
        """
        return [item.row() for item in self.items]

    def frame(self) -> pd.DataFrame:
        """A pandas ``DataFrame``: of what was fetched, or of what became of each input.

        Raises ``ConfigError`` without pandas.
        """
        if self._rows is not None:
            return self._rows(self)
        rows: list[Any] = [(item.key, item.outcome, item.value, item.error) for item in self.items]
        made: pd.DataFrame = exact_frame(["key", "outcome", "value", "error"], rows)
        return made

    def _with(self, outcome: Outcome) -> list[Item[K, T]]:
        return [item for item in self.items if item.outcome == outcome]

    def _counts(self) -> str:
        found = Counter(item.outcome for item in self.items)
        words = ", ".join(f"{found[outcome]:,} {outcome}" for outcome in ("ok", "failed", "unknown"))
        return f"{count(len(self.items), 'item')}: {words}"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item[K, T]]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Item[K, T]:
        return self.items[index]

    def __repr__(self) -> str:
        return f"<BulkResult of {self._counts()}>"

    def _repr_html_(self) -> str:
        worst = sorted(self.items, key=lambda item: item.outcome == "ok")[:MOST_ROWS]  # what went wrong comes first
        rows = [(item.name, item.outcome, "" if item.error is None else with_notes(item.error)) for item in worst]
        return html_table(("input", "outcome", "error"), rows, title=self._counts(), noun="item", total=len(self.items))
