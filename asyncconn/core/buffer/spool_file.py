"""The file under a spool: SQLite in WAL mode, one row for each group of records. Blocks; for one thread at a time."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import sqlite3
import sys
import weakref
from array import array
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from asyncconn.core.buffer.spool_log import lost_commit
from asyncconn.errors import AsyncConnError, ConfigError, SpoolDamaged, SpoolError, SpoolFull, SpoolInUse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Span", "SpoolFile", "merged"]

logger = logging.getLogger("asyncconn.spool")

Span = tuple[int, int]  # of record numbers, both ends included

_APPLICATION = 0x61636F6E  # "acon", for `file` and for not taking a stranger's database for a spool
_VERSION = 1
_CHUNK = 256 * 1024  # bytes of records in a row, about
_LOG = 4 * 1024 * 1024  # bytes of the log, about, from which on it is worth moving into the file; as SQLite has it
_PAGES = 3 * 4096  # bytes of it that a commit takes beside its records, about
_COMPACT = 8 * 1024 * 1024  # bytes of an empty file from which on its space is given back

# The records come last: SQLite then finds all else without reading through them.
_SCHEMA = (
    "CREATE TABLE chunks (first INTEGER PRIMARY KEY, count INTEGER, crc INTEGER, lengths BLOB, data BLOB)",
    "CREATE TABLE done (first INTEGER PRIMARY KEY, spans BLOB)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)",
    f"PRAGMA application_id={_APPLICATION}",
    f"PRAGMA user_version={_VERSION}",
)


@dataclass(slots=True)
class _Chunk:
    count: int
    size: int
    done: list[Span] = field(default_factory=list)  # record numbers, merged


def merged(spans: Sequence[Span]) -> list[Span]:
    """In order, and as few as can be."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _count(spans: Sequence[Span]) -> int:
    return sum(last - first + 1 for first, last in spans)


class SpoolFile:
    """Numbered records in a file, in order. ``records`` and ``size`` (bytes, of whole rows) are what it holds.

    Every method raises ``SpoolError`` or one of its kind; ``open`` also ``ConfigError``, for a file that is not ours.
    """

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self.path = path
        self._real = path  # what it leads to, through any links
        self.records = self.size = self.commits = 0
        self.next = 1
        self._fsync = fsync
        self._logged = 0  # bytes that commits have added to the log, about
        self._connection: sqlite3.Connection | None = None
        self._firsts: list[int] = []  # of all chunks, in order
        self._chunks: dict[int, _Chunk] = {}

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, owner: str, *, create: bool) -> bool:
        """Open or make the file. False if there is none and ``create`` is false."""
        try:
            if not create and not self.path.exists():
                return False
            self._real = Path(os.path.realpath(self.path))
            # SQLite would make it readable for all. A file that exists is not opened: closing it would drop the lock
            # that this process may have on it through another connection.
            with suppress(FileExistsError):
                os.close(os.open(self._real, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            suspect = self._log_is_damaged()
            connection = sqlite3.connect(self._real, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error, "opened") from error
        try:
            self._lock(connection)
            if suspect and self._log_is_damaged():  # now that nobody else writes to it
                self._leave(connection)
                raise SpoolDamaged(f"{self.path}-wal is damaged: records behind the damage would be left out")
            self._prepare(connection, owner)
            self._load(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, AsyncConnError) or not isinstance(error, sqlite3.Error | TypeError | ValueError):
                raise
            if self._is_strange(error):
                raise ConfigError(f"{self.path} is no spool: name another file, or move this one away") from error
            raise self._error(error, "opened") from error
        self._connection = connection
        _watch_forks()
        _open_files.add(self)
        return True

    def _lock(self, connection: sqlite3.Connection) -> None:
        # Before anything else: the first access takes the lock and keeps it, and no shared memory is needed.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("PRAGMA application_id")

    def _beside(self, ending: str) -> Path:
        return self._real.with_name(self._real.name + ending)

    def _log_is_damaged(self) -> bool:
        try:
            return lost_commit(self._beside("-wal").read_bytes())
        except FileNotFoundError:
            return False

    def _is_strange(self, error: BaseException) -> bool:
        """Whether it is no database, and no spool either that has lost its beginning."""
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB:
            return False  # else this process may have it open: closing it here would drop that lock
        with suppress(OSError), self._real.open("rb") as file:
            return file.read(72)[68:] != _APPLICATION.to_bytes(4)
        return False

    def _leave(self, connection: sqlite3.Connection) -> None:
        """Close it and keep the log, which SQLite removes with what it could not read: somebody may want to look."""
        log, kept = self._beside("-wal"), self._beside("-wal-damaged")
        kept.unlink(missing_ok=True)
        try:
            os.link(log, kept)
        except OSError:  # a file system without links
            shutil.copy2(log, kept)
        connection.close()
        kept.replace(log)

    def _make_private(self) -> None:
        """Records are personal data: whoever has made the file, nobody else may read it, nor what SQLite adds to it."""
        for file in (self._real, *map(self._beside, ("-wal", "-shm", "-journal"))):
            with suppress(FileNotFoundError):
                mode = file.stat().st_mode & 0o777
                if not mode & 0o077:
                    continue
                with suppress(OSError):
                    file.chmod(mode & 0o700)
                still = file.stat().st_mode & 0o077
                done = "it cannot be changed" if still else "now it is its owner's alone"
                logger.warning("%s could be read by others (mode %o): %s", file, mode, done)

    def _prepare(self, connection: sqlite3.Connection, owner: str) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        new = application == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not new and application != _APPLICATION:
            raise ConfigError(f"{self.path} is a database of something else, not a spool")
        if not new and version != _VERSION:
            raise ConfigError(f"{self.path} is a spool of version {version}; this library knows version {_VERSION}")
        self._make_private()
        if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise SpoolError(f"{self.path} is where SQLite cannot keep a write-ahead log")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._fsync else 'NORMAL'}")
        if not self._fsync:  # a commit never waits for the disk: checkpoint() does
            connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN IMMEDIATE")  # what cannot be written is found out now
        for statement in _SCHEMA if new else ():
            connection.execute(statement)
        if owner:
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('owner', ?)", (owner,))
            if connection.execute("SELECT value FROM meta WHERE name='owner'").fetchone()[0] != owner:
                raise ConfigError(f"{self.path} holds the records of another account")
        connection.execute("COMMIT")

    def _load(self, connection: sqlite3.Connection) -> None:
        self._firsts, self._chunks = [], {}
        self.records = self.size = 0
        self.next = 1
        rows = connection.execute("SELECT first, count, length(lengths), length(data) FROM chunks ORDER BY first")
        for first, count, lengths, size in rows:
            if first < self.next or count < 1 or lengths != 4 * count:
                raise SpoolDamaged(f"{self.path} is damaged: row {first} of its records is not as it was written")
            self._firsts.append(first)
            self._chunks[first] = _Chunk(count, size)
            self.records += count
            self.size += size
            self.next = first + count
        for first, packed in connection.execute("SELECT first, spans FROM done"):
            chunk, ends = self._chunks.get(first), _unpacked(packed)
            spans = list(zip(ends[::2], ends[1::2], strict=True))
            if chunk is None or any(not 0 <= a <= b < chunk.count for a, b in spans):
                raise SpoolDamaged(f"{self.path} is damaged: what it says of the delivered records cannot be")
            chunk.done = merged([(first + a, first + b) for a, b in spans])
            self.records -= _count(chunk.done)

    def close(self) -> None:
        """Close it, a large empty one after giving its space back. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        _open_files.discard(self)
        with suppress(sqlite3.Error):  # all that matters is in the file already
            pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            if not self._firsts and pages * page >= _COMPACT:
                connection.execute("VACUUM")
        with suppress(sqlite3.Error):
            connection.close()  # moves the log into the file, and removes it

    # -- writing -------------------------------------------------------------------------------------------------------

    def commit(self, items: Sequence[bytes], done: Sequence[Span]) -> tuple[int, SpoolError | None]:
        """Append ``items`` and forget the ``done`` records, in one transaction; the number of the first item.

        When that fails, the ``done`` ones are tried alone, and the error of the items is returned. Raises when neither
        could be written.
        """
        try:
            return self._commit(items, done), None
        except SpoolError as error:
            if not items or not done:
                raise
            self._commit((), done)
            return 0, error

    def _commit(self, items: Sequence[bytes], done: Sequence[Span]) -> int:
        connection = self._opened()
        first, number = self.next, self.next
        added: dict[int, _Chunk] = {}
        partly, gone = self._trimming(done)
        try:
            rows = list(_rows(items))
            # One statement is a transaction by itself. Each gives up the interpreter's lock, and has to get it back.
            several = len(rows) + len(partly) + len(gone) > 1 or bool(gone)
            if several:
                connection.execute("BEGIN IMMEDIATE")
            for a, b in gone:
                connection.execute("DELETE FROM chunks WHERE first BETWEEN ? AND ?", (a, b))
                connection.execute("DELETE FROM done WHERE first BETWEEN ? AND ?", (a, b))
            for of, spans in partly.items():
                packed = _packed([end - of for span in spans for end in span])
                connection.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", (of, packed))
            for count, crc, lengths, data in rows:
                connection.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", (number, count, crc, lengths, data))
                added[number] = _Chunk(count, len(data))
                number += count
            if several:
                connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise self._error(error, "written") from error
        self._apply(partly, gone, added, number)
        self.commits += 1
        self._logged += _PAGES + sum(chunk.size for chunk in added.values())
        return first

    @property
    def log_is_long(self) -> bool:
        """Whether :meth:`checkpoint` is due, which without fsync no commit does by itself."""
        return not self._fsync and self._logged > _LOG

    def checkpoint(self) -> None:
        """Move the log into the file. What cannot be moved now stays where it is, and safe."""
        if self.log_is_long:
            self._logged = 0
            with suppress(sqlite3.Error):
                self._opened().execute("PRAGMA wal_checkpoint(PASSIVE)")
                # Whatever is written next begins the log anew, and waits for the disk: this, which changes nothing.
                self._opened().execute(f"PRAGMA user_version={_VERSION}")

    def _trimming(self, done: Sequence[Span]) -> tuple[dict[int, list[Span]], list[Span]]:
        """What has to change: chunks that are partly done, with their spans, and runs of chunks that are wholly so."""
        partly: dict[int, list[Span]] = {}
        gone: list[Span] = []
        for first, last in merged(done):
            run: list[int] = []
            at = max(0, bisect_right(self._firsts, first) - 1)
            while at < len(self._firsts) and (start := self._firsts[at]) <= last:
                chunk = self._chunks[start]
                span = (max(first, start), min(last, start + chunk.count - 1))
                at += 1
                if span[0] > span[1]:
                    continue
                spans = merged([*partly.get(start, chunk.done), span])
                if _count(spans) == chunk.count:
                    partly.pop(start, None)
                    run.append(start)
                else:
                    partly[start] = spans
                    if run:
                        gone.append((run[0], run[-1]))
                        run = []
            if run:
                gone.append((run[0], run[-1]))
        return partly, gone

    def _apply(
        self, partly: dict[int, list[Span]], gone: Sequence[Span], added: dict[int, _Chunk], number: int
    ) -> None:
        for a, b in gone:
            low, high = bisect_right(self._firsts, a) - 1, bisect_right(self._firsts, b)
            for start in self._firsts[low:high]:
                chunk = self._chunks.pop(start)
                self.records -= chunk.count - _count(chunk.done)
                self.size -= chunk.size
            del self._firsts[low:high]
        for start, spans in partly.items():
            chunk = self._chunks[start]
            self.records -= _count(spans) - _count(chunk.done)
            chunk.done = spans
        for start, chunk in added.items():
            self._firsts.append(start)
            self._chunks[start] = chunk
            self.records += chunk.count
            self.size += chunk.size
        self.next = number

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, after: int, last: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """The records above ``after`` up to ``last`` that are not done: whole rows, until they reach ``max_bytes``."""
        connection = self._opened()
        found: list[tuple[int, bytes]] = []
        size = 0
        at = max(0, bisect_right(self._firsts, after) - 1)
        while at < len(self._firsts) and (start := self._firsts[at]) <= last and size < max_bytes:
            at += 1
            chunk = self._chunks[start]
            if start + chunk.count - 1 <= after:
                continue
            try:
                row = connection.execute("SELECT crc, lengths, data FROM chunks WHERE first=?", (start,)).fetchone()
            except sqlite3.Error as error:
                raise self._error(error, "read") from error
            for number, item in enumerate(self._items(row, start), start):
                if after < number <= last and not any(a <= number <= b for a, b in chunk.done):
                    found.append((number, item))
                    size += len(item)
        return found

    def _items(self, row: Any, start: int) -> Iterator[bytes]:
        try:
            crc, packed, data = row
            lengths = _unpacked(packed)
            sound = crc32(packed, crc32(data)) == crc and sum(lengths) == len(data)
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise SpoolDamaged(
                f"{self.path} is damaged: the records from number {start} on are not as they were written"
            )
        end = 0
        for length in lengths:
            yield data[end : end + length]
            end += length

    # -- errors --------------------------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SpoolError(f"{self.path} is not open")
        return self._connection

    def _error(self, error: BaseException, done: str) -> SpoolError:
        """The error of ours for one of SQLite's or the system's."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return SpoolInUse(f"{self.path} is in use")
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
            return SpoolFull(f"{self.path} cannot be {done}: the disk is full")
        # A plain error is SQL that does not fit the tables.
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR) or isinstance(
            error, TypeError | ValueError
        ):
            return SpoolDamaged(f"{self.path} is damaged: {error}")
        why = getattr(error, "strerror", None) or error
        return SpoolError(f"{self.path} cannot be {done}: {why}")


def _rows(items: Sequence[bytes]) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Count, checksum, lengths and data of each row that ``items`` make."""
    start = size = 0
    for end, item in enumerate(items, 1):
        size += len(item)
        if size >= _CHUNK or end == len(items):
            some = items[start:end]
            data, lengths = b"".join(some), _packed([len(one) for one in some])
            yield len(some), crc32(lengths, crc32(data)), lengths, data
            start, size = end, 0


def _packed(numbers: Sequence[int]) -> bytes:
    return _little_endian(array("I", numbers)).tobytes()


def _unpacked(packed: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(packed)
    return _little_endian(numbers)


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


# -- forks -------------------------------------------------------------------------------------------------------------

_open_files: weakref.WeakSet[SpoolFile] = weakref.WeakSet()


@cache
def _watch_forks() -> None:
    """Once, when a first file is opened: importing this module hooks nothing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    """In a forked child nothing may close the parent's connections: SQLite would remove the log that is in use."""
    for file in list(_open_files):
        if file._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(file._connection))  # for ever
            file._connection = None
    _open_files.clear()
