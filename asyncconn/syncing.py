"""From a list at one place into another: every row, and each once, whatever is cut short in between."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.clock import SystemClock
from asyncconn.core.closing import each
from asyncconn.core.held_file import HeldFile
from asyncconn.core.journal import SIZE, Journal
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.shown import Shown, facts
from asyncconn.errors import AsyncConnError, BatchError, ConfigError, InvalidRecord
from asyncconn.http.outgoing import json_body

if TYPE_CHECKING:
    import os

    from asyncconn.core.buffer.receipts import Rejected
    from asyncconn.core.sinks import Sink

__all__ = ["SyncFailed", "SyncReport", "sync"]

logger = logging.getLogger("asyncconn.syncing")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, repr=False)
class SyncReport(Shown):
    """What a run did: rows ``read``, those of them ``known`` to have arrived before, and what the ``target`` says.

    ``cursor`` is the greatest value of its column so far, from where the next run begins; ``seconds`` it took.
    """

    read: int = 0
    known: int = 0
    target: FlushReport = field(default_factory=FlushReport)
    cursor: Any = None
    seconds: float = 0.0

    def _facts(self) -> Mapping[str, Any]:
        outcome = {name: value for name, value in facts(self.target).items() if name not in ("seconds", "told")}
        return {"read": self.read, "known": self.known, **outcome, "cursor": self.cursor, "seconds": self.seconds}

    @property
    def delivered(self) -> int:
        """Rows that arrived now."""
        return self.target.delivered

    @property
    def rejections(self) -> tuple[Rejected, ...]:
        """Rows that the target refused for good, with its reasons: the newest 10,000. They are not sent again."""
        return self.target.rejections

    @property
    def complete(self) -> bool:
        """Whether every row that was read is at the target."""
        return self.target.complete


class SyncFailed(BatchError):
    """The target did not take all that was read. ``report`` says what it took; the reason is the ``__cause__``."""

    advice = "run it again: what has arrived is not sent again, but for one batch at most"

    def __init__(self, message: str, *, report: SyncReport) -> None:
        super().__init__(message)
        self.report = report


async def sync(
    source: Iterable[Row] | AsyncIterable[Row] | Callable[[Any], Iterable[Row] | AsyncIterable[Row]],
    *,
    into: Sink[Row],
    state: str | os.PathLike[str] | None = None,
    cursor: str | Callable[[Row], Any] | None = None,
    key: str | Sequence[str] | Callable[[Row], Any] | None = None,
    batch: int = 500,
    on_progress: OnProgress | None = None,
) -> SyncReport:
    """Read ``source`` to its end into ``into``, and wait until every row has arrived.

        >>> report = await sync(
        ...     lambda since: acme.series(updated_after=since),
        ...     into=panoply.table("series"), state="series.json", cursor="updated_at", key="id",
        ... )

    ``source`` is a function of the last cursor (None in the first run), or rows, such as a pager: these are read whole
    each time, and what is below the last cursor is left out. The cursor is the greatest value, a number or a text, of
    the column ``cursor`` (or of what that function gives for a row). It moves on when a run comes to its end, so rows
    may come in any order. Those of the last cursor's value may come again in the next run: they are known by ``key``,
    one column or several (or a function), or without one by all that is in them.

    ``state`` is a file that keeps the cursor between runs; which rows have arrived is kept beside it, in ``FILE.rows``,
    while a run lasts. One that was killed is made up for by the next: that begins where the killed one began, and gives
    the target only what had not arrived. ``batch`` rows are given to it at a time, and so many may arrive twice after a
    kill: let it be no more than the target's own batches. What the target rejects is logged, in the report, and not
    sent again.

    ``on_progress`` gets the rows read so far, after each batch.

    Raises ``SyncFailed`` when rows did not arrive, ``InvalidRecord`` for one without the columns or that the target
    cannot take, with its number in ``index``; ``ConfigError``, ``StateInUse`` before anything is read; and what
    ``source`` raises, after what it had given has been delivered.
    """
    if batch < 1:
        raise ConfigError(f"batch must be 1 or more, not {batch}")
    if callable(source) and cursor is None:
        raise ConfigError("a function of the last cursor needs cursor=: the column that the cursor is taken from")
    columns = _Columns(cursor, key)
    file = None if state is None else HeldFile(state, "the state file")
    async with nullcontext() if file is None else file.hold():
        saved = _Saved() if file is None else _Saved.of(await file.load(), file, columns.name)
        run = _Run(into, columns, saved, batch, on_progress)
        if file is None:
            return await run.all_of(source, None)
        journal = Journal(file.path.with_name(f"{file.path.name}.rows"), saved.run)
        try:
            run.has_arrived(await journal.open())
            report = await run.all_of(source, journal)
            await file.save(run.saved().text())
            await journal.remove()
        finally:
            await journal.aclose()
        return report


@dataclass(frozen=True, slots=True)
class _Saved:
    """What one run leaves to the next. ``edge`` are digests of the rows that have the cursor's value."""

    column: str = ""
    cursor: Any = None
    edge: tuple[str, ...] = ()
    run: int = 0

    @classmethod
    def of(cls, data: bytes | None, file: HeldFile, column: str) -> _Saved:
        if data is None:
            return cls(column)
        try:
            found = cls(**json.loads(data))
            if found.run < 0 or any(len(bytes.fromhex(one)) != SIZE for one in found.edge):
                raise ValueError("it holds something else")
        except (ValueError, TypeError, RecursionError):
            raise ConfigError(
                f"the state file {file.path} is damaged or none of ours: restore it, or delete it to start anew"
            ) from None
        if found.column != column:
            raise ConfigError(f"the state file {file.path} is of the cursor {found.column!r}, not {column!r}")
        return found

    def text(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


class _Columns:
    """What is asked of a row: its cursor, and a digest that tells it from others."""

    def __init__(self, cursor: Any, key: Any) -> None:
        self.name = cursor if isinstance(cursor, str) else "" if cursor is None else "(a function)"
        self._cursor = cursor if cursor is None or callable(cursor) else _column(cursor)
        self._key = None if key is None else key if callable(key) else _columns(key)
        #: Whether two rows may be alike: then so many of them are known as have arrived.
        self.alike = key is None

    def cursor(self, row: Any) -> Any:
        if self._cursor is None:
            return None
        value = self._cursor(row)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value or value == math.inf:
            raise InvalidRecord(f"the cursor is a number or a text, not {value!r}: give a function that makes it one")
        return value

    def digest(self, row: Any, cursor: Any) -> bytes:
        if self._key is None or self._cursor is None:  # a row that has changed since is another one
            told = dict(sorted(row.items())) if isinstance(row, Mapping) else row
        else:
            told = [self._key(row), cursor]
        return hashlib.blake2b(json_body(told), digest_size=SIZE).digest()


def _column(name: str) -> Callable[[Any], Any]:
    def found(row: Any) -> Any:
        try:
            return row[name] if isinstance(row, Mapping) else getattr(row, name)
        except (KeyError, AttributeError):
            raise InvalidRecord(f"it has no {name!r}") from None

    return found


def _columns(names: str | Sequence[str]) -> Callable[[Any], Any]:
    every = [_column(name) for name in ([names] if isinstance(names, str) else names)]
    return lambda row: [one(row) for one in every]


class _Run:
    def __init__(
        self,
        into: Sink[Any],
        columns: _Columns,
        saved: _Saved,
        batch: int,
        on_progress: OnProgress | None,
    ) -> None:
        self._into = into
        self._columns = columns
        self._before = saved
        self._batch = batch
        self._on_progress = telling(on_progress, "sync")
        self._clock = SystemClock()
        self._started = self._clock.now()
        self._known = Counter(map(bytes.fromhex, saved.edge))  # rows that arrived in earlier runs
        self._arrived: Counter[bytes] = Counter()  # and in earlier tries of this one
        self._cursor = saved.cursor
        self._edge = list(saved.edge)
        self._journal: Journal | None = None
        self._read = self._old = 0
        self._target = FlushReport()
        self._rows: list[Any] = []  # the next batch: its rows, their digests, their numbers
        self._digests: list[bytes] = []
        self._numbers: list[int] = []

    def has_arrived(self, digests: Iterable[bytes]) -> None:
        """A try of this run that was cut short has delivered these."""
        self._arrived.update(digests)

    def saved(self) -> _Saved:
        """For the next run, at the end of this one."""
        return _Saved(self._before.column, self._cursor, tuple(self._edge), self._before.run + 1)

    def report(self) -> SyncReport:
        return SyncReport(self._read, self._old, self._target, self._cursor, self._clock.now() - self._started)

    async def all_of(self, source: Any, journal: Journal | None) -> SyncReport:
        self._journal = journal
        given = callable(source)
        rows = source(self._before.cursor) if given else source
        try:
            async with aclosing(each(rows)) as found:
                async for row in found:
                    self._take(row, above=None if given else self._before.cursor)
                    if len(self._rows) >= self._batch:
                        await self._deliver()
        except SyncFailed:
            raise
        except Exception as error:
            await self._deliver()
            error.add_note(f"{self._target.delivered} rows had arrived before")
            raise
        await self._deliver()
        return self.report()

    def _take(self, row: Any, *, above: Any) -> None:
        number = self._read
        self._read += 1
        try:
            cursor = self._columns.cursor(row)
            digest = self._columns.digest(row, cursor)
            is_old = (above is not None and _less(cursor, above)) or self._is_in(self._known, digest)
            if not is_old and cursor is not None:
                self._move(cursor, digest)
        except AsyncConnError as error:
            raise InvalidRecord(error.message, index=number) from error
        if is_old or self._is_in(self._arrived, digest):
            self._old += 1
            return
        self._rows.append(row)
        self._digests.append(digest)
        self._numbers.append(number)

    def _move(self, cursor: Any, digest: bytes) -> None:
        if self._cursor is None or _less(self._cursor, cursor):
            self._cursor, self._edge = cursor, []
        if cursor == self._cursor:
            self._edge.append(digest.hex())

    def _is_in(self, known: Counter[bytes], digest: bytes) -> bool:
        if not known[digest]:
            return False
        if self._columns.alike:
            known[digest] -= 1
        return True

    async def _deliver(self) -> None:
        rows, digests, numbers = self._rows, self._digests, self._numbers
        self._rows, self._digests, self._numbers = [], [], []
        if rows:
            try:
                report = await self._into.deliver(rows)
            except InvalidRecord as error:
                error.index = None if error.index is None else numbers[error.index]
                raise
            if report.rejections:  # looking at them tells of them, and so does this line
                logger.warning("%d rows were rejected: %s", report.rejected, report.rejections[0].reason)
            self._target = FlushReport.joined([self._target, report])
            lost = report.failed + report.unknown
            left = lost + report.pending - report.spooled
            if left:
                raise self._failed(left, report)
            if self._journal is not None:
                await self._journal.add(digests)
        if self._on_progress is not None:
            self._on_progress(Progress(self._read, None, "rows"))

    def _failed(self, left: int, report: FlushReport) -> SyncFailed:
        reason = next((one for one in report.failures if not one.reasons), None)
        why = "they had no outcome in time" if reason is None else reason.message
        failed = SyncFailed(f"{left} rows did not arrive: {why}", report=self.report())
        failed.__cause__ = reason
        return failed


def _less(one: Any, other: Any) -> bool:
    """Of two cursors."""
    if isinstance(one, str) != isinstance(other, str):
        raise InvalidRecord(f"the cursors {one!r} and {other!r} cannot be compared")
    return bool(one < other)
