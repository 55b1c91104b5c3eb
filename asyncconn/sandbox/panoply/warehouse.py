"""The warehouse: SQLite, written by one thread of its own, read by SQL.

Contract: panoply section 6, "Vendor pages on keys" (rows with the same id are updated; table names are
lower-cased).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.panoply.records import SENT_TIME, InvalidDocument, Layout, fold, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from asyncconn.sandbox.panoply.records import Rows

__all__ = ["Busy", "Found", "Loaded", "Warehouse"]

_STEPS = 20_000  # of SQLite's machine, between two looks at the time
_ASKING = 4  # questions at a time: the one at work, and who waits for it
_LONGEST_VALUE = 1_000_000  # bytes of a value or row in a question: SQLite makes one in one step, which nothing ends
_MAX_COLUMNS = 2000  # SQLite's own limit
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_READING_PRAGMAS = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info"})


class Busy(Exception):
    """Several questions are being asked already; nothing was asked."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one message: records that are rows now, and documents that are none."""

    records: int
    invalid: list[InvalidDocument]


@dataclass(frozen=True, slots=True)
class Found:
    """What a statement found; ``truncated``: there is more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool


class Warehouse:
    """Tables that grow columns as records bring them.

    ``path`` None keeps all in memory, until :meth:`close`. Loading happens on a thread that belongs to the
    warehouse; :meth:`sql` and :meth:`tables` run where they are called and wait while a message is being
    loaded. :meth:`ask` does not: it has a thread, and its own sight of the tables.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = path
        # Writer and reader are two connections; one lock keeps a reader from meeting a half-loaded message.
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._executor: ThreadPoolExecutor | None = None
        # Who asks something long must not keep a message waiting. A file in WAL mode allows that; connections to one
        # database in memory wait for each other at every step, so this one has a copy, made when there is news.
        self._asked: sqlite3.Connection | None = None
        self._asker: ThreadPoolExecutor | None = None
        self._asking = threading.BoundedSemaphore(_ASKING)
        self._version, self._copied = 0, 0
        self._columns: dict[str, set[str]] = {}
        self._indexed: set[str] = set()
        self._closing = False

    async def open(self) -> None:
        """Raises :class:`~asyncconn.errors.ConfigError` when the file cannot be opened as a database."""
        self._closing = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="asyncconn-sandbox-warehouse")
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="asyncconn-sandbox-asking")
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._connect)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise ConfigError(f"the warehouse {str(self._path)!r} cannot be opened: {error}") from error
            raise

    async def load(self, body: str, sent_time: str) -> Loaded:
        """Load a message's documents; on return they can be queried. ``sent_time`` fills ``__senttime``."""
        if self._executor is None:
            raise LifecycleError("the warehouse is not open")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._load, body, sent_time)

    def sql(self, statement: str, *params: object) -> list[dict[str, Any]]:
        """Rows of one reading statement; :class:`~asyncconn.errors.ConfigError` with SQLite's words."""
        with _in_words(), self._lock:
            cursor = self._open_reader().execute(statement, params)
            rows = cursor.fetchall()
            columns = [column[0] for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def ask(self, statement: str, params: Sequence[object], most: int, most_bytes: int, seconds: float) -> Found:
        """As :meth:`sql`; at most ``most`` rows and ``most_bytes`` of them as JSON.

        Raises :class:`~asyncconn.errors.ConfigError` when it takes longer than ``seconds``, and :class:`Busy` when
        several ask already.
        """
        if self._asker is None:
            raise LifecycleError("the warehouse is not open")
        if not self._asking.acquire(blocking=False):
            raise Busy(f"{_ASKING} questions are being asked already: ask again when one of them has ended")
        asking = self._asker.submit(self._ask, statement, params, most, most_bytes, seconds)
        asking.add_done_callback(lambda _: self._asking.release())  # its thread goes on though nobody waits any more
        return await asyncio.wrap_future(asking)

    def tables(self) -> dict[str, int]:
        """Rows by table."""
        with self._lock:
            reader = self._open_reader()
            names = [row[0] for row in reader.execute(_TABLES)]
            counting = [(name, f"select count(*) from {_quoted(name)}") for name in names]  # noqa: S608 - quoted
            return {name: reader.execute(statement).fetchone()[0] for name, statement in counting}

    async def reset(self) -> None:
        """Drop all tables, after the message that is being loaded."""
        if self._executor is None:
            raise LifecycleError("the warehouse is not open")
        await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)

    def close(self) -> None:
        """End the thread, after the message it is loading, and let the data in memory go."""
        self._closing = True  # whoever asks something long in another thread need not be waited for
        executors = (self._executor, self._asker)
        self._executor = self._asker = None
        for executor in executors:
            if executor is not None:
                executor.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for connection in (self._asked, self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._asked = self._reader = self._writer = None
            self._columns.clear()
            self._indexed.clear()

    def _open_reader(self) -> sqlite3.Connection:
        if self._reader is None:
            raise LifecycleError("the warehouse is not open: query it inside the sandbox's 'async with'")
        return self._reader

    # -- on the thread that asks -------------------------------------------------------------------------------

    def _ask(self, statement: str, params: Sequence[object], most: int, most_bytes: int, seconds: float) -> Found:
        deadline = time.monotonic() + seconds
        rows: list[tuple[Any, ...]] = []
        with _in_words(seconds):
            asked = self._renewed()
            asked.set_progress_handler(lambda: self._closing or time.monotonic() > deadline, _STEPS)
            with closing(asked.execute(statement, params)) as cursor:
                columns = [column[0] for column in cursor.description or ()]
                left = most_bytes
                for row in cursor:
                    left -= len(json.dumps(row, default=bytes.hex))
                    if left < 0 and not rows:
                        raise ValueError(f"the first row is larger than {most_bytes} bytes: select less of it")
                    if left < 0 or len(rows) == most:
                        return Found(columns, rows, truncated=True)
                    rows.append(row)
        return Found(columns, rows, truncated=False)

    def _renewed(self) -> sqlite3.Connection:
        if self._asked is None:
            raise LifecycleError("the warehouse is not open")
        if self._path is None and self._copied != self._version:
            with self._lock:
                self._open_reader().backup(self._asked)
                self._copied = self._version
        return self._asked

    # -- on the warehouse's thread ---------------------------------------------------------------------------

    def _connect(self) -> None:
        in_memory = self._path is None
        name = f"file:{uuid.uuid4().hex}?mode=memory&cache=shared" if in_memory else str(self._path)
        # The threads differ, the lock makes sure that they take turns.
        self._writer = sqlite3.connect(
            name, uri=in_memory, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        self._reader = sqlite3.connect(name, uri=in_memory, isolation_level=None, check_same_thread=False)
        if not in_memory:
            self._writer.execute("pragma journal_mode = wal")  # others may read the file meanwhile
            self._writer.execute("pragma synchronous = normal")
        self._asked = sqlite3.connect(":memory:" if in_memory else name, isolation_level=None, check_same_thread=False)
        self._asked.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        for connection in (self._reader, self._asked):
            connection.set_authorizer(_reading_only)

    def _load(self, body: str, sent_time: str) -> Loaded:
        tables, invalid = read_documents(body)
        writer = self._writer
        if writer is None:
            raise LifecycleError("the warehouse is not open")
        loaded = 0
        with self._lock:
            self._version += 1
            writer.execute("begin immediate")
            try:
                for table, rows in tables.items():
                    loaded += self._store(writer, table, rows, sent_time, invalid)
                writer.execute("commit")
            except BaseException:
                writer.execute("rollback")
                self._columns.clear()  # they may name tables and columns that were rolled back
                self._indexed.clear()
                raise
        return Loaded(loaded, invalid)

    def _drop(self) -> None:
        writer = self._writer
        if writer is None:
            raise LifecycleError("the warehouse is not open")
        with self._lock:
            self._version += 1
            self._columns.clear()
            self._indexed.clear()
            for (table,) in writer.execute(_TABLES).fetchall():
                writer.execute(f"drop table {_quoted(table)}")

    def _store(
        self,
        writer: sqlite3.Connection,
        table: str,
        rows: Rows,
        sent_time: str,
        invalid: list[InvalidDocument],
    ) -> int:
        fitting = self._make_room(writer, table, rows)
        loaded = 0
        # Only neighbours are put together, so rows stay in the order of writing and the last id wins.
        for layout, run in groupby(rows.items, key=lambda item: item[0]):
            if layout not in fitting:
                reason = f"the table would have more than {_MAX_COLUMNS} columns"
                invalid.extend(InvalidDocument(text, reason) for _, _, text in run)
                continue
            values = [(*row, sent_time) for _, row, _ in run]
            writer.executemany(_insert(table, layout), values)
            loaded += len(values)
        return loaded

    def _make_room(self, writer: sqlite3.Connection, table: str, rows: Rows) -> set[Layout]:
        """Give the table the columns it lacks; returns the layouts that fit."""
        known = self._known_columns(writer, table)
        is_new = not known
        added = [] if SENT_TIME in known else [SENT_TIME]
        known.add(SENT_TIME)
        fitting: set[Layout] = set()
        for layout in dict.fromkeys(layout for layout, _, _ in rows.items):
            lacking = [column for column in layout.columns if fold(column) not in known]
            if len(known) + len(lacking) > _MAX_COLUMNS:
                continue
            known.update(fold(column) for column in lacking)
            added += lacking
            fitting.add(layout)
        if is_new and not fitting:
            del self._columns[table]
            return fitting
        if is_new:
            columns = ", ".join(_quoted(column) for column in (*added[1:], SENT_TIME))
            writer.execute(f"create table {_quoted(table)} ({columns})")
        else:
            for column in added:
                writer.execute(f"alter table {_quoted(table)} add column {_quoted(column)}")
        if "id" in known and table not in self._indexed:
            # The name is random because tables and indexes share their names, and a table may have any.
            index = _quoted(f"id {uuid.uuid4().hex}")
            writer.execute(f"create unique index {index} on {_quoted(table)} (id)")
            self._indexed.add(table)
        return fitting

    def _known_columns(self, writer: sqlite3.Connection, table: str) -> set[str]:
        if (known := self._columns.get(table)) is None:
            known = {fold(row[1]) for row in writer.execute(f"pragma table_info({_quoted(table)})")}
            self._columns[table] = known
            if self._has_unique_id(writer, table):
                self._indexed.add(table)
        return known

    def _has_unique_id(self, writer: sqlite3.Connection, table: str) -> bool:
        for _, index, unique, _, partial in writer.execute(f"pragma index_list({_quoted(table)})").fetchall():
            columns = [row[2] for row in writer.execute(f"pragma index_info({_quoted(index)})")]
            if unique and not partial and [fold(column or "") for column in columns] == ["id"]:
                return True
        return False


_TABLES = r"""
    select name from sqlite_master where type = 'table' and name not like 'sqlite\_%' escape '\' order by name
"""


def _insert(table: str, layout: Layout) -> str:
    columns = [_quoted(column) for column in (*layout.columns, SENT_TIME)]
    places = ", ".join("?" * len(columns))
    statement = f"insert into {_quoted(table)} ({', '.join(columns)}) values ({places})"  # noqa: S608 - names are quoted, values bound
    if layout.has_id:
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        statement += f" on conflict (id) do update set {changes}"
    return statement


@contextmanager
def _in_words(seconds: float | None = None) -> Iterator[None]:
    """What SQLite says against a statement, as our error."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        hint = " (only reading is possible here)" if "not authorized" in str(error) else ""
        hint = f": it took longer than {seconds:g} s" if str(error) == "interrupted" and seconds else hint
        raise ConfigError(f"sql: {error}{hint}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reading_only(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_PRAGMA and first in _READING_PRAGMAS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
