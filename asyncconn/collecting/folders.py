"""Folders of files of rows: a partition, or a batch of them, is there as a whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import zlib
from abc import ABC, abstractmethod
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from asyncconn.collecting.sinks import Run
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.extras import needed
from asyncconn.core.files import PartialFile, replace_file
from asyncconn.core.held_file import HeldFile
from asyncconn.core.parquet import row_count
from asyncconn.core.paths import file_path
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.rows import read_rows, save_into

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from asyncconn.hub import Hub

__all__ = ["Folder", "JsonLines", "Layout", "Parquet"]

Layout = Literal["partition", "batch"]

_STATE = "run.json"
_NAMES = ".names"  # beside a batch's rows: whose they are


class Folder(ABC):
    """Partitions below ``path``, in up to 256 folders by a digest of their names, and in ``run.json`` whose they are.

    A file is written under a hidden name, and is on disk when it gets its own.
    """

    ending: ClassVar[str]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = file_path(path, "the folder")

    @property
    def by_batch(self) -> bool:
        """Whether a file holds a batch of partitions."""
        return False

    # -- the one process that leads the run ----------------------------------------------------------------------------

    @asynccontextmanager
    async def hold(self, run: Run) -> AsyncIterator[set[str]]:
        """Keep every other run off the folder; the names of the partitions that it has.

        Raises ``StateInUse``, and ``ConfigError`` for a folder of another run, or one that cannot be used.
        """
        self.path = await self._on_disk(self.path.absolute)  # as the workers are told, who have other ideas of "here"
        state = HeldFile(self.path / _STATE, "the state of a run")
        async with state.hold():
            await self._claim(state, run)
            await self._on_disk(self._sweep)
            try:
                yield await self._on_disk(self._names)
            finally:
                await self._on_disk(self._sweep)

    async def _claim(self, state: HeldFile, run: Run) -> None:
        kind = [self.ending, self.by_batch]
        if (data := await state.load()) is None:
            if await self._on_disk(lambda: next(self._files(), None)):
                raise ConfigError(f"the folder {self.path} has rows, but no {_STATE} that says of what: give a new one")
        else:
            found = self._state(data)
            if found["run"] != run.name:
                go_on = f"give a new one, or go on with run={found['run']!r}"
                raise ConfigError(f"the folder {self.path} has rows of another run: {go_on}")
            if found["kind"] != kind:
                raise ConfigError(
                    f"the folder {self.path} has rows of this run in another form or layout: give a new one"
                )
        await state.save(json.dumps({"run": run.name, "attempt": run.attempt, "kind": kind}).encode())

    def _state(self, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
            return {name: found[name] for name in ("run", "attempt", "kind")}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ConfigError(f"{self.path / _STATE} is damaged or none of ours: give a new folder") from None

    # -- those that do the work ----------------------------------------------------------------------------------------

    async def check(self, run: Run) -> None:
        """Raise ``ConfigError`` where the folder is not the one that the leader of the run holds."""
        state = await self._on_disk(self._read, self.path / _STATE)
        if state is None:
            raise ConfigError(
                f"the folder {self.path} is not shared: the leader of the run sees it, and a worker does not"
            )
        if self._state(state)["attempt"] != run.attempt:
            raise ConfigError(f"the folder {self.path} belongs to another attempt by now; this one is over")

    def place(self, name: str) -> Path:
        """The file of a partition, or of a batch."""
        return self.path / f"{zlib.crc32(name.encode()) & 0xFF:02x}" / f"{name}{self.ending}"

    async def _on_disk(self, work: Any, *args: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            raise ConfigError(f"the folder {self.path} cannot be used: {error.strerror or error}") from error

    @staticmethod
    def _read(path: Path) -> bytes | None:
        with suppress(FileNotFoundError):
            return path.read_bytes()
        return None

    # -- what is there -------------------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self.path) as shards:
            for shard in shards:
                if len(shard.name) == 2 and shard.is_dir():
                    with os.scandir(shard) as files:
                        yield from files

    def _files(self) -> Iterator[os.DirEntry[str]]:
        """Of rows that are whole."""
        for entry in self._entries():
            if entry.name.endswith(self.ending) and not entry.name.startswith("."):
                yield entry

    def _names(self) -> set[str]:
        return {entry.name.removesuffix(self.ending) for entry in self._files()}

    def _sweep(self) -> None:
        """Remove what was being written by those that were killed."""
        for entry in self._entries():
            if entry.name.startswith("."):
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)  # noqa: PTH108 - there may be many, and a Path for each costs more than this


class _RowFolder(Folder):
    """Files of rows, one a partition or, ``layout="batch"``, one for as many as are done together."""

    def __init__(self, path: str | os.PathLike[str], *, layout: Layout = "partition") -> None:
        super().__init__(path)
        if layout not in get_args(Layout):
            raise ConfigError(f"layout must be 'partition' or 'batch', not {layout!r}")
        self.layout: Layout = layout

    @property
    def by_batch(self) -> bool:
        """Whether a file holds a batch of partitions."""
        return self.layout == "batch"

    async def open(self, run: Run, hub: Hub) -> _Place:
        """For the process that does batches. Raises ``ConfigError`` where the folder is not the leader's."""
        await self.check(run)
        return _Place(self, run)

    async def rows(self) -> AsyncGenerator[dict[str, Any], None]:
        """All rows that are there, in the order of the files' names. Raises as ``read_rows`` does.

        >>> async for row in JsonLines("jobs").rows(): ...
        """
        for path in await self._on_disk(lambda: sorted(entry.path for entry in self._files())):
            async with aclosing(read_rows(path)) as rows:
                async for row in rows:
                    yield row

    async def deliver(self, rows: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]], /) -> FlushReport:
        """Put the rows into one new file, as a sink of whatever delivers rows. Raises as ``save_rows`` does."""
        digest = hashlib.blake2b(os.urandom(16), digest_size=4).hexdigest()
        return FlushReport(delivered=await self.save(f"rows-{time.time_ns():020d}-{digest}", rows))

    async def save(self, name: str, rows: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]) -> int:
        """Write a file; how many rows it has."""
        return await save_into(_NewFile(self.place(name)), rows, **self._how())

    def _how(self) -> dict[str, Any]:
        return {}

    @abstractmethod
    def count(self, path: Path) -> int:
        """The rows of a file that is there. Blocks."""

    async def found(self, name: str) -> int | None:
        """How many rows the file of a partition has; None if there is none."""

        def count() -> int | None:
            with suppress(FileNotFoundError):
                return self.count(self.place(name))
            return None

        found: int | None = await self._on_disk(count)
        return found

    def _names(self) -> set[str]:
        if not self.by_batch:
            return super()._names()
        return {name for entry in self._files() for name in self.manifest(Path(entry.path))}

    def _sweep(self) -> None:
        super()._sweep()
        for entry in self._entries():
            if entry.name.endswith(_NAMES):
                path = Path(entry.path)
                if not path.with_name(path.name.removesuffix(_NAMES) + self.ending).exists():
                    path.unlink(missing_ok=True)

    def manifest(self, path: Path) -> dict[str, int]:
        """The partitions of a batch's file, and how many rows of each it has; empty where there is no such file."""
        if not path.exists():
            return {}
        found: dict[str, int] = json.loads(_manifest(path, self.ending).read_bytes())
        return found

    def publish(self, path: Path, manifest: Mapping[str, int]) -> None:
        """Say which partitions a file will have. It counts as soon as that is there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(_manifest(path, self.ending), json.dumps(manifest).encode())


def _manifest(path: Path, ending: str) -> Path:
    return path.with_name(path.name.removesuffix(ending) + _NAMES)


class JsonLines(_RowFolder):
    """A folder of files of JSON lines, with every digit of every number.

        >>> report = await collect(streams, jobs_of, into=JsonLines("jobs"))

    One file a partition; with ``layout="batch"`` one for as many partitions as are done together, and beside it one of
    their names: for partitions of few rows, which are held in memory until the batch is done.
    Raises ``ConfigError``.
    """

    ending = ".jsonl"

    def count(self, path: Path) -> int:
        """The lines of a file. Blocks."""
        with path.open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


class Parquet(_RowFolder):
    """As :class:`JsonLines`, of files in Parquet (the extra ``parquet``).

        >>> schema = pyarrow.schema({"id": pyarrow.int64(), "status": pyarrow.string()})
        >>> report = await collect(streams, jobs_of, into=Parquet("jobs", schema))

    Without a ``schema``, which is one of pyarrow, each file has the columns and types of its own rows, and files may
    differ in them. With one, what a row lacks is null, and a column that it does not name fails the partition.
    """

    ending = ".parquet"

    def __init__(self, path: str | os.PathLike[str], schema: Any = None, *, layout: Layout = "partition") -> None:
        super().__init__(path, layout=layout)
        needed("pyarrow", "parquet")
        self.schema = schema

    def _how(self) -> dict[str, Any]:
        return {"schema": self.schema}

    def count(self, path: Path) -> int:
        """What the file says of itself. Blocks."""
        return row_count(path)


class _NewFile(PartialFile):
    """On disk when it is finished; its folder is made."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, sync=True)

    def open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        super().open()


class _Place:
    def __init__(self, folder: _RowFolder, run: Run) -> None:
        self._folder = folder
        self._run = run

    def writing(self, names: Sequence[str]) -> _Files | _OneFile:
        return _OneFile(self._folder, self._run, names) if self._folder.by_batch else _Files(self._folder)


class _Files:
    """A file a partition."""

    def __init__(self, folder: _RowFolder) -> None:
        self._folder = folder

    async def found(self, name: str) -> int | None:
        return await self._folder.found(name)

    async def write(self, name: str, rows: AsyncIterable[Mapping[str, Any]]) -> int:
        return await self._folder.save(name, rows)

    async def finish(self) -> None:
        """Each is there already."""


class _OneFile:
    """A file of a batch. The same batch has the same file, whoever does it, and however often."""

    def __init__(self, folder: _RowFolder, run: Run, names: Sequence[str]) -> None:
        self._folder = folder
        self._run = run
        self._order = names
        self._name = _batch(names)
        self._there: dict[str, int] | None = None
        self._rows: dict[str, list[Mapping[str, Any]]] = {}

    async def found(self, name: str) -> int | None:
        if self._there is None:
            self._there = await in_thread(self._folder.manifest, self._folder.place(self._name))
        return self._there.get(name)

    async def write(self, name: str, rows: AsyncIterable[Mapping[str, Any]]) -> int:
        self._rows[name] = found = [row async for row in rows]
        return len(found)

    async def finish(self) -> None:
        if not self._rows:
            return
        names = [name for name in self._order if name in self._rows]
        file = _batch(names) if self._there else self._name  # what is there already stays
        manifest = {name: len(self._rows[name]) for name in names}
        await in_thread(self._folder.publish, self._folder.place(file), manifest)
        await self._folder.check(self._run)  # one that another attempt does meanwhile would be there twice
        await self._folder.save(file, [row for name in names for row in self._rows[name]])


def _batch(names: Sequence[str]) -> str:
    digest = hashlib.blake2b(chr(0).join(names).encode(), digest_size=10).hexdigest()
    return f"batch-{digest}"
