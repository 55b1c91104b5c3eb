"""The spool: records that are on disk before their ``append`` returns, and stay there until they are trimmed."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from asyncconn.core.buffer.spool_file import Span, SpoolFile
from asyncconn.core.buffer.spool_folder import files_of
from asyncconn.core.paths import file_path
from asyncconn.core.tasks import drain_guard
from asyncconn.core.threads import OwnThread
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, SpoolError, SpoolFull, SpoolInUse, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

__all__ = ["Spool", "SpoolStats"]

T = TypeVar("T")
_Commit: TypeAlias = "asyncio.Future[tuple[int, SpoolError | None]]"

_HERE = 32 * 1024  # bytes that the loop writes itself at most; what is larger gains nothing by that
_GONE = 500  # records that are taken out there at most, each of which may be a row
_PATIENCE = 60.0  # seconds that a disk may take for an opening or closing that nobody waits for any more


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What a spool holds: ``records``, ``bytes`` of them; ``commits`` since it was opened; the ``path``."""

    records: int
    bytes: int
    commits: int
    path: Path


class _Append:
    """Items on their way into the file, and who waits for that."""

    __slots__ = ("future", "items", "numbers", "size", "withdrawn")

    def __init__(self, items: Sequence[bytes], size: int) -> None:
        self.items = items
        self.size = size
        self.future: asyncio.Future[range] = asyncio.get_running_loop().create_future()
        self.numbers = range(0)
        self.withdrawn = False


class Spool(Unpicklable):
    """Numbered records in a file that survives ``kill -9``, and with ``fsync`` the loss of power too.

        >>> async def main() -> list[tuple[int, bytes]]:
        ...     spool = Spool("outbox.spool")
        ...     await spool.open()
        ...     numbers = await spool.append([b"one", b"two"])
        ...     await spool.trim([numbers[:1]])
        ...     left = await spool.read()
        ...     await spool.aclose()
        ...     return left
        >>> asyncio.run(main())
        [(2, b'two')]

    It is an SQLite database in WAL mode that nobody but its owner may read: made with mode 0600, also through a
    symbolic link; one that others may read is made private, which is logged. Whatever is appended or trimmed while a
    commit runs goes with the next one. The work is done in a thread, but for what is small without ``fsync``: the loop
    then hands up to 32 KiB to the system's cache itself, a fraction of a millisecond, which costs less than the way to
    a thread and back. The spool belongs to the event loop that opened it. One spool at a time may have the file open,
    in this process or any other. ``max_bytes`` bounds the records; the file is somewhat larger.

    A ``path`` that ends in a slash is a folder, for several processes of one service: each spool takes a file of its
    own there when it is opened, one of those that nobody has open, the oldest first, or a new one. What a process that
    was killed has left is sent by the next one that starts; ``path`` is that file's then.

    Raises ``ConfigError`` for a path or size that cannot be.
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True, max_bytes: int = 1 << 30) -> None:
        if path in ("", ":memory:"):
            raise ConfigError(f"a spool is a file on disk: {path!r} is no path for it")
        if max_bytes < 1:
            raise ConfigError(f"max_bytes of a spool must be more than 0, not {max_bytes}")
        self.path = file_path(path, "the spool")
        self.max_bytes = max_bytes
        self._folder = self.path if os.fspath(path)[-1:] in ("/", os.sep) else None
        self._fsync = fsync
        self._file = SpoolFile(self.path, fsync=fsync)
        self._fsync = fsync
        self._at_work = threading.Lock()  # held by whoever works on the file, in the thread or on the loop
        self._thread: OwnThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._owner = ""
        self._user: object = None
        self._lock = asyncio.Lock()
        self._closing = False
        self._appends: list[_Append] = []
        self._waiting_bytes = 0  # of appends that are not in the file yet
        self._trims: list[Span] = []
        self._trim_waiters: list[asyncio.Future[None]] = []
        self._due: asyncio.Handle | None = None
        self._commit: asyncio.Future[Any] | None = None

    def __repr__(self) -> str:
        return f"<Spool {self.path}, {self._file.records} records>"

    @property
    def is_open(self) -> bool:
        """Whether it can be used now."""
        return self._thread is not None and not self._closing

    @property
    def stats(self) -> SpoolStats:
        """What it holds at this moment."""
        file = self._file
        return SpoolStats(file.records, file.size, file.commits, self.path)

    @property
    def full(self) -> bool:
        """Whether there is no room for another record of the size of those that are here."""
        one = self._file.size // self._file.records if self._file.records else 0
        return self._file.size + self._waiting_bytes + max(1, one) > self.max_bytes

    @property
    def last(self) -> int:
        """The highest number given out."""
        return self._file.next - 1

    # -- opening and closing -------------------------------------------------------------------------------------------

    async def open(self, owner: str = "", *, create: bool = True) -> bool:
        """Open the file, or make it unless ``create`` is false; whether it is open then. Twice changes nothing.

        ``owner`` is written into a new file and compared with that of an old one.

        Raises ``ConfigError`` for another owner's spool or a database of something else, ``SpoolInUse``,
        ``SpoolDamaged``, ``SpoolFull``, or ``SpoolError`` for a file that cannot be read or written.
        """
        async with self._lock:
            if self.is_open:
                self.check()
                if owner and self._owner and owner != self._owner:
                    raise ConfigError(f"{self.path} holds the records of another account")
                return True
            self._loop, self._pid, self._owner = asyncio.get_running_loop(), os.getpid(), owner
            self._thread, self._closing = OwnThread("asyncconn-spool"), False
            opened = False
            try:
                # A cancellation is held back until it is known what has to be closed again.
                opening = self._run(partial(self._open, owner, create=create))
                opened = await drain_guard(opening, timeout=_PATIENCE, name="spool:open")
            finally:
                if not opened:
                    await self._end()
            return opened

    def _open(self, owner: str, *, create: bool) -> bool:
        if self._folder is None:
            return self._file.open(owner, create=create)
        for path in files_of(self._folder, owner, create=create):
            self._file, self.path = SpoolFile(path, fsync=self._fsync), path
            with suppress(SpoolInUse):
                return self._file.open(owner, create=create)
        return False

    async def aclose(self) -> None:
        """Write what is waiting, and close the file. Goes through although the caller is cancelled. Idempotent."""
        if self._thread is None:
            return
        self.check()
        self._closing = True
        await drain_guard(self._close(), timeout=_PATIENCE, name="spool:close")

    async def _close(self) -> None:
        async with self._lock:
            self._pump()
            while self._commit is not None:
                await asyncio.wait({self._commit})
            if self._thread is not None:
                await self._end()

    async def _end(self) -> None:
        thread, self._closing = self._thread, True
        if thread is not None:
            await drain_guard(self._run(self._file.close), timeout=_PATIENCE, name="spool:close")
            thread.close()
        self._thread = None

    def claim(self, user: object) -> None:
        """For the one who replays it: two at a time would send everything twice. Raises ``SpoolInUse``."""
        if self._user not in (None, user):
            raise SpoolInUse(f"{self.path} is in use by another writer")
        self._user = user

    def release(self, user: object) -> None:
        """The opposite of :meth:`claim`."""
        if self._user is user:
            self._user = None

    # -- records -------------------------------------------------------------------------------------------------------

    async def append(self, items: Sequence[bytes]) -> range:
        """Store ``items``; their numbers. They are on disk when it returns. Cancelled means: not stored.

        Raises ``SpoolFull``, ``SpoolError``, ``WrongLoop``.
        """
        self._check_open()
        if not items:
            return range(0)
        size = sum(map(len, items))
        if self._file.size + self._waiting_bytes + size > self.max_bytes:
            raise SpoolFull(f"{self.path} holds {self._file.size} bytes of records, of {self.max_bytes} that it may")
        append = _Append(items, size)
        self._appends.append(append)
        self._waiting_bytes += size
        self._schedule()
        try:
            return await append.future
        except asyncio.CancelledError:
            self._withdraw(append)
            raise

    def _withdraw(self, append: _Append) -> None:
        if append.future.done() and not append.future.cancelled():
            append.future.exception()  # nobody else will look at it
        append.withdrawn = True
        if append in self._appends:
            self._appends.remove(append)
            self._waiting_bytes -= append.size
        elif append.numbers:
            self.forget([append.numbers])

    async def trim(self, numbers: Iterable[range]) -> None:
        """Forget records that have arrived; it returns when that is on disk.

        Raises ``SpoolError`` when it could not be written; it is then tried again with the next commit.
        """
        self._check_open()
        self.forget(numbers)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._trim_waiters.append(future)
        await future

    def forget(self, numbers: Iterable[range]) -> None:
        """:meth:`trim` without waiting."""
        self._trims += [(some[0], some[-1]) for some in numbers if some]
        if not self._closing:
            self._schedule()

    async def read(
        self, after: int = 0, *, last: int = sys.maxsize, max_bytes: int = 1 << 20
    ) -> list[tuple[int, bytes]]:
        """Records above number ``after``, up to ``last``, in order: about ``max_bytes``, and at least one if there is.

        Raises ``SpoolDamaged``, ``SpoolError``.
        """
        self._check_open()
        return await self._run(self._file.read, after, last, max_bytes)

    # -- commits -------------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """A commit, as soon as everything that is ready to run has had its turn to add to it."""
        if self._commit is None and self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._commit is not None or self._thread is None or not (self._appends or self._trims or self._trim_waiters):
            return
        appends, self._appends = self._appends, []
        spans, self._trims = self._trims, []
        waiters, self._trim_waiters = self._trim_waiters, []
        items = appends[0].items if len(appends) == 1 else list(chain.from_iterable(one.items for one in appends))
        settled = partial(self._committed, appends, spans, waiters)
        if (done := self._commit_here(items, spans)) is not None:
            settled(done)
            return
        self._commit = self._submit(self._file.commit, items, spans)
        self._commit.add_done_callback(settled)

    def _commit_here(self, items: Sequence[bytes], spans: list[Span]) -> _Commit | None:
        """A commit that is over at once; None where it may take long, or something else is being done to the file."""
        long = sum(map(len, items)) > _HERE or sum(last - first for first, last in spans) > _GONE
        if self._fsync or long or not self._at_work.acquire(blocking=False):
            return None
        done: _Commit = asyncio.get_running_loop().create_future()
        try:
            done.set_result(self._file.commit(items, spans))
        except Exception as error:  # noqa: BLE001 - raised by those who wait, as from the thread
            done.set_exception(error)
        finally:
            self._at_work.release()
        return done

    def _committed(
        self,
        appends: list[_Append],
        spans: list[Span],
        waiters: list[asyncio.Future[None]],
        commit: _Commit,
    ) -> None:
        self._commit = None
        self._waiting_bytes -= sum(one.size for one in appends)
        trims_failed: BaseException | None = None
        appends_failed: BaseException | None = None
        number = 0
        if commit.cancelled():
            trims_failed = SpoolError(f"{self.path} could not be written: its event loop ended")
        elif (trims_failed := commit.exception()) is None:
            number, appends_failed = commit.result()
        if trims_failed is not None:
            self._trims = spans + self._trims  # with the next commit; one at once would fail as this one did
            appends_failed = trims_failed
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None) if trims_failed is None else waiter.set_exception(_copy(trims_failed))
        for append in appends:
            self._settle(append, number, appends_failed)
            number += len(append.items)
        if self._file.log_is_long and trims_failed is None and not self._closing:
            self._submit(self._file.checkpoint)  # waits for the disk, which the loop must not
        if self._appends or self._trim_waiters or (self._trims and trims_failed is None):
            self._pump()

    def _settle(self, append: _Append, number: int, error: BaseException | None) -> None:
        if error is None:
            append.numbers = range(number, number + len(append.items))
        if append.withdrawn:
            self._trims += [(some[0], some[-1]) for some in [append.numbers] if some]
        elif append.future.done():
            return  # being cancelled: it will withdraw by itself
        elif error is None:
            append.future.set_result(append.numbers)
        else:
            append.future.set_exception(_copy(error))

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _submit(self, job: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        if self._thread is None:
            raise SpoolError(f"{self.path} is not open")
        # As an executor, so that a virtual clock knows of it and does not jump meanwhile.
        alone = partial(_holding, self._at_work, job, *args)
        return asyncio.get_running_loop().run_in_executor(cast("Executor", self._thread), alone)

    async def _run(self, job: Callable[..., T], *args: Any) -> T:
        return await self._submit(job, *args)

    def _check_open(self) -> None:
        self.check()
        if not self.is_open:
            raise SpoolError(f"{self.path} is not open")

    def check(self) -> None:
        """Raise ``WrongLoop`` where it cannot be used: on another loop, in a forked child."""
        if self._loop is not None and (asyncio.get_running_loop() is not self._loop or os.getpid() != self._pid):
            raise WrongLoop(f"{self.path} was opened on another event loop or in another process")

    def __del__(self) -> None:
        thread: OwnThread | None = getattr(self, "_thread", None)
        if thread is not None and os.getpid() == self._pid:
            warnings.warn(f"the spool {self.path} was not closed", ResourceWarning, 2, self)
            thread.submit(self._file.close)
            thread.close()


def _holding(lock: threading.Lock, job: Callable[..., T], *args: Any) -> T:
    with lock:
        return job(*args)


def _copy(error: BaseException) -> BaseException:
    """One for each who waits: an exception that is raised in several places collects the traces of all."""
    if not isinstance(error, SpoolError):
        return error
    copy = type(error)(error.message)
    copy.__cause__ = error.__cause__
    return copy
