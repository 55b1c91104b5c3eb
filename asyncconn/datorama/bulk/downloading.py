"""Many files into a folder: within bounds, and with an outcome for each. Contract: datorama sections 3.6, 3.9, 11.7."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from asyncconn.core.tasks import each
from asyncconn.datorama import paths
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Item
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.errors import TooManyBytes
from asyncconn.datorama.given import job_of, listed, one_for_each, owner_of
from asyncconn.datorama.models import DataStream, Job, ReportJob
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    import os

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["Bounds", "download_jobs", "download_reports"]

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What both calls take. Raises ``ConfigError`` for a bound that is none."""

    concurrency: int
    max_bytes: int | None
    max_file_bytes: int | None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if type(self.concurrency) is not int or not 1 <= self.concurrency <= AT_ONCE:
            raise ConfigError(f"concurrency is a whole number from 1 to {AT_ONCE}, not {self.concurrency!r}")
        for name in ("max_bytes", "max_file_bytes"):
            most = getattr(self, name)
            if most is not None and (type(most) is not int or most < 1):
                raise ConfigError(f"{name} is a whole number from 1, or None, not {most!r}")


class Budget:
    """The bytes that one bulk call may still keep."""

    def __init__(self, bounds: Bounds) -> None:
        self._each = bounds.max_file_bytes
        self._left = bounds.max_bytes

    @property
    def spent(self) -> bool:
        """Whether nothing more may come."""
        return self._left is not None and self._left <= 0

    def take(self, size: int, of_file: int) -> None:
        """Count ``size`` more bytes of a file that has ``of_file`` now. Raises ``TooManyBytes``."""
        if self._each is not None and of_file > self._each:
            raise TooManyBytes(f"the file is larger than max_file_bytes ({self._each})")
        if self._left is not None:
            if size > self._left:
                raise TooManyBytes("max_bytes is reached")
            self._left -= size

    def give_back(self, size: int) -> None:
        """A file did not come to its end, and nothing of it was kept."""
        if self._left is not None:
            self._left += size


class Counted:
    """The chunks of one file on their way to the disk. No generator: it may be dropped half-way."""

    def __init__(self, budget: Budget) -> None:
        self.size = 0
        self._budget = budget
        self._chunks: AsyncIterator[bytes] | None = None

    def __call__(self, chunks: AsyncIterator[bytes]) -> Self:
        self._chunks = chunks
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            raise StopAsyncIteration
        chunk = await anext(self._chunks)
        self._budget.take(len(chunk), self.size + len(chunk))
        self.size += len(chunk)
        return chunk


@dataclass(frozen=True, slots=True)
class _File(Generic[K]):
    """One input: where an earlier run may have put it, and how it is fetched."""

    key: K
    there: Callable[[], Path | None]
    fetch: Callable[[Counted], Awaitable[Path]]


async def download_jobs(
    nouns: Nouns,
    jobs: Any,
    folder: str | os.PathLike[str],
    *,
    streams: Any,
    bounds: Bounds,
    on_progress: Callable[[BulkProgress], object] | None,
) -> BulkResult[tuple[DataStream, int], Path]:
    """See ``Datorama.download_jobs``."""
    wanted = listed(jobs, "jobs")
    given = one_for_each([owner_of(job) for job in wanted] if streams is None else streams, len(wanted), "streams")
    for job in wanted:
        _ = job.id if isinstance(job, Job) else paths.number(job, "job")  # before anything is looked up
    owners = await resolve(nouns, given)
    target = await _folder(folder)

    def file(owner: DataStream, job: Any) -> _File[tuple[DataStream, int]]:
        number = job_of(job, owner.id)

        def path() -> Path:
            return target / nouns.jobs.file_name(number, owner)

        def there() -> Path | None:
            return path() if not bounds.overwrite and path().exists() else None

        async def fetch(counted: Counted) -> Path:
            return await nouns.jobs.download(number, path(), stream=owner, through=counted)

        return _File((owner, number), there, fetch)

    files = [file(owner, job) for owner, job in zip(owners, wanted, strict=True)]
    return await _fetch(nouns, files, [(one.key[0].id, one.key[1]) for one in files], bounds, on_progress)


async def download_reports(
    nouns: Nouns,
    jobs: Any,
    folder: str | os.PathLike[str],
    *,
    skip_preamble: bool,
    bounds: Bounds,
    on_progress: Callable[[BulkProgress], object] | None,
) -> BulkResult[ReportJob | int, Path]:
    """See ``Datorama.download_reports``."""
    wanted = listed(jobs, "jobs")
    ids = [one.id if isinstance(one, ReportJob) else paths.number(one, "report job") for one in wanted]
    target = await _folder(folder)

    def file(key: ReportJob | int, number: int) -> _File[ReportJob | int]:
        own = target / str(number)  # whatever name the platform gives the file, it meets no other there

        def there() -> Path | None:
            found = sorted(path for path in own.iterdir() if not path.name.startswith(".")) if own.is_dir() else []
            return found[0] if found else None

        async def fetch(counted: Counted) -> Path:
            await asyncio.to_thread(own.mkdir, exist_ok=True)
            try:
                return await nouns.reports.download(number, own, skip_preamble=skip_preamble, through=counted)
            except BaseException:
                await asyncio.to_thread(_remove_empty, own)
                raise

        return _File(key, there, fetch)

    files = [file(key, number) for key, number in zip(wanted, ids, strict=True)]
    return await _fetch(nouns, files, ids, bounds, on_progress)


async def _fetch(
    nouns: Nouns,
    files: Sequence[_File[K]],
    names: Sequence[Any],
    bounds: Bounds,
    on_progress: Callable[[BulkProgress], object] | None,
) -> BulkResult[K, Path]:
    """Each once, however often it was given; an item for each input."""
    places: dict[Any, list[int]] = {}
    for number, name in enumerate(names):
        places.setdefault(name, []).append(number)
    items: list[Item[K, Path] | None] = [None] * len(files)
    budget = Budget(bounds)
    meter = Meter(nouns.calling, len(files), on_progress, what="files", calls=float)

    async def fetch(numbers: list[int]) -> None:
        item = await _one(files[numbers[0]], budget)
        for number in numbers:
            items[number] = item
            meter.add(item.outcome)

    await each(places.values(), fetch, name="datorama:download", at_once=bounds.concurrency)
    return BulkResult([item for item in items if item is not None])


async def _one(file: _File[K], budget: Budget) -> Item[K, Path]:
    counted = Counted(budget)
    try:
        there = await asyncio.to_thread(file.there)
        if there is not None:
            return Item(key=file.key, outcome="ok", value=there, skipped=True)
        if budget.spent:
            raise TooManyBytes("max_bytes is reached; nothing was sent")
        path = await file.fetch(counted)
    except (AsyncConnError, OSError) as error:
        budget.give_back(counted.size)
        ours = error if isinstance(error, AsyncConnError) else ConfigError(f"the folder cannot be used: {error}")
        return Item(key=file.key, outcome="failed", error=ours)
    return Item(key=file.key, outcome="ok", value=path)


async def _folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made if need be. Raises ``ConfigError``."""

    def make() -> Path:
        made = Path(folder)
        made.mkdir(parents=True, exist_ok=True)
        return made

    try:
        return await asyncio.to_thread(make)
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder!r} is no folder to download to: {error}") from error


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something is in it
        folder.rmdir()
