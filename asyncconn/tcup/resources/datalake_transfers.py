"""Files that go to the data lake and come from it, never whole in memory. Contract: tcup sections 6.2, 6.4, 13.10."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, overload

from asyncconn.core.extras import extra
from asyncconn.core.files import file_name
from asyncconn.core.paths import file_path
from asyncconn.core.retrying import ONCE
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.tcup import fields
from asyncconn.tcup.lake_models import answered_uri
from asyncconn.tcup.names import one_or_several
from asyncconn.tcup.resources.datalake_chunks import Chunked, Target
from asyncconn.tcup.resources.datalake_files import Files

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from asyncconn.core.progress import OnProgress
    from asyncconn.http.stream import Stream

__all__ = ["Mode", "Transfers"]

Mode = Literal["RESTRICT", "OVERWRITE", "APPEND", "ARCHIVE"]

#: What can be uploaded: a path, bytes, chunks, or a function that makes the chunks anew.
Given = str | os.PathLike[str] | bytes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]]

#: Several files. A text is a sequence of texts, too, so that is not what they are.
Uris = list[str] | tuple[str, ...]

_MODES = ("RESTRICT", "OVERWRITE", "APPEND", "ARCHIVE")
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("read_csv", {}),
    ".tsv": ("read_csv", {"sep": "\t"}),
    ".txt": ("read_csv", {}),
    ".json": ("read_json", {}),
    ".xlsx": ("read_excel", {}),
    ".parquet": ("read_parquet", {}),
}


class Transfers(Files):
    """Upload, download, frames."""

    async def upload(
        self,
        source: Given,
        *,
        filename: str | None = None,
        savepoint: str | None = None,
        directory: str | None = None,
        mode: Mode = "RESTRICT",
        metadata: Mapping[str, Any] | None = None,
        comment: str | None = None,
        content_type: str = "application/octet-stream",
        on_progress: OnProgress | None = None,
        resume: bool = False,
    ) -> str:
        """Send a file: a path, bytes, an async iterable of chunks, or a function that makes one. Returns its URI.

            >>> uri = await tcup.datalake.upload("flights.csv", savepoint="march/day-1", metadata={"colour": "blue"})

        ``mode`` is ``RESTRICT`` (``Conflict`` if the file is there), ``OVERWRITE`` or ``ARCHIVE`` (the old version is
        hidden, or gets another name), or ``APPEND``; the last three need a file that is there (``BadRequest``).
        ``filename`` is by default the path's own, and needed for what has none. ``on_progress`` hears of bytes.

        By default all goes in one call, of 2 GiB at most, which is not repeated when its outcome is unknown. With
        ``resume`` it goes in chunks of 8 MiB, each appended: a connection that breaks costs a chunk, and a file that is
        there already is gone on with if it is the beginning of this one, which is found out by fetching it. Each chunk
        leaves a hidden version behind in the lake.

        Raises ``ConfigError`` for a field or a source that cannot be, before anything is sent; ``Conflict`` as well for
        a file that is locked, for the quota, and for a directory that does not take it.
        """
        given, own, once = _source(source)
        name = own if filename is None else filename
        if name is None:
            raise ConfigError("filename: what is no path needs one")
        if mode not in _MODES:
            raise ConfigError(f"mode: one of {', '.join(_MODES)}, not {mode!r}")
        said = {} if metadata is None else {"metadata": fields.metadata(metadata)}
        if comment is not None:
            said["comment"] = comment
        place = {
            "savepoint": None if savepoint is None else fields.savepoint(savepoint),
            "directory": None if directory is None else fields.directory(directory),
        }
        target = Target(fields.filename(name), mode, place, content_type, said)
        if resume:
            return await Chunked(self._caller, self.get, target, given, once=once, on_progress=on_progress).run()
        only: dict[str, Any] = {"retry": ONCE} if once else {}
        answer = await self._caller.upload(
            "files.upload", given, params=target.params, form=target.form, on_progress=on_progress, **only
        )
        return answered_uri(answer)

    @overload
    async def download(
        self, uri: str, to: str | os.PathLike[str], *, on_progress: OnProgress | None = None, resume: bool = True
    ) -> Path: ...

    @overload
    async def download(
        self,
        uri: Uris,
        to: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        resume: bool = True,
    ) -> dict[str, Path]: ...

    async def download(
        self,
        uri: str | Uris,
        to: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        resume: bool = True,
    ) -> Path | dict[str, Path]:
        """Save a file as ``to``, or in it if that is a folder; the path. Of several URIs into a folder: path by URI.

            >>> await tcup.datalake.download(uri, "flights.csv", on_progress=print)

        The file appears when it is complete. A connection that breaks is gone on with, in this call and in a later one;
        a file that has changed meanwhile is fetched anew. In a folder it has the last part of its URI as its name, made
        safe. See ``Transport.download``. Raises ``NotFound``, and ``Conflict`` for a file that has no content.
        """
        options: dict[str, Any] = {"on_progress": on_progress, "resume": resume}
        target = file_path(to, "the download")
        folder = await in_thread(target.is_dir)
        if isinstance(uri, str):
            return await self._fetch(uri, target / _named(uri) if folder else target, **options)
        if not folder:
            raise ConfigError(f"{target} is no folder: several files need one")
        places = {one: target / _named(one) for one in uri}
        if len(set(places.values())) < len(places):
            raise ConfigError("two of these files have one name: fetch them into folders of their own")
        return {one: await self._fetch(one, place, **options) for one, place in places.items()}

    def stream(self, uri: str) -> Stream:
        """A file's bytes as they come: ``async with datalake.stream(uri) as chunks: async for chunk in chunks: ...``

        Nothing is gone on with. Raises what a call raises, when it is opened.
        """
        return self._caller.stream("files.download", params={"file-uri": fields.file_uri(uri)})

    @overload
    async def frame(self, uri: str, **options: Any) -> pd.DataFrame: ...

    @overload
    async def frame(self, uri: Uris, **options: Any) -> dict[str, pd.DataFrame]: ...

    async def frame(self, uri: str | Uris, **options: Any) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """A file as a pandas frame, read by its suffix: csv, tsv, txt, json, xlsx, parquet. Of several URIs: by URI.

            >>> frame = await tcup.datalake.frame("user1/dlsadmin/csv/SampleFlightData1/SampleFlightData1.csv")

        ``options`` are those of pandas' reader. Raises ``ConfigError`` for another suffix, before anything is fetched,
        and for a library that is missing; ``ProtocolError`` for a file that is not what its suffix says.
        """
        uris = one_or_several(uri, "uri")
        for one in uris:
            _reader(one)
        frames = {one: await self._frame(one, options) for one in uris}
        return frames[uri] if isinstance(uri, str) else frames

    async def _frame(self, uri: str, options: Mapping[str, Any]) -> pd.DataFrame:
        name, usual = _reader(uri)
        pandas = await in_thread(extra, "pandas")  # its import takes long
        folder = await in_thread(lambda: tempfile.TemporaryDirectory(prefix="asyncconn-"))
        try:
            path = await self._fetch(uri, Path(folder.name) / f"file{_suffix(uri)}", on_progress=None, resume=False)
            return await in_thread(lambda: getattr(pandas, name)(path, **{**usual, **options}))
        except ImportError as error:
            raise ConfigError(f"{uri} needs a library to be read: {error}") from error
        except (ValueError, KeyError) as error:  # what pandas says of a file, its parser's errors included
            raise ProtocolError(f"{uri} cannot be read as {_suffix(uri)}: {type(error).__name__}") from error
        finally:
            await in_thread(folder.cleanup)

    async def _fetch(self, uri: str, to: Path, *, on_progress: OnProgress | None, resume: bool) -> Path:
        params = {"file-uri": fields.file_uri(uri)}
        return await self._caller.download("files.download", to, params=params, on_progress=on_progress, resume=resume)


def _source(given: Any) -> tuple[Any, str | None, bool]:
    """What to upload, what it calls itself, and whether it can be read only once."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given), None, False
    if callable(given):
        return given, None, False
    if isinstance(given, AsyncIterator):
        return _only_once(given), None, True
    if isinstance(given, AsyncIterable):
        return lambda: given, None, False
    return given, file_path(given, "the upload").name, False


def _only_once(chunks: AsyncIterator[bytes]) -> Callable[[], AsyncIterator[bytes]]:
    """What is used up must not go out a second time as if that were all."""
    left = [chunks]

    def make() -> AsyncIterator[bytes]:
        if not left:
            raise ConfigError("these chunks have been read, and cannot be sent again: give a function that makes them")
        return left.pop()

    return make


def _named(uri: str) -> str:
    return file_name(fields.file_uri(uri), "file")


def _suffix(uri: str) -> str:
    return PurePosixPath(uri).suffix.lower()


def _reader(uri: str) -> tuple[str, dict[str, Any]]:
    found = _READERS.get(_suffix(fields.file_uri(uri)))
    if found is None:
        raise ConfigError(f"{uri!r} is no table: its name ends in none of {', '.join(_READERS)}")
    return found
