"""The files of the data lake: found, described, locked, renamed, deleted. Contract: tcup sections 6.3, 6.5, 13."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.errors import Answer, ConfigError, Conflict, NotFound
from asyncconn.http.pages import items_of
from asyncconn.tcup import fields, search
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.lake_models import Comment, LakeFile, answered_uri
from asyncconn.tcup.listing import Listing
from asyncconn.tcup.names import is_plain, one_or_several

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.search import Match, Sort, Term

__all__ = ["Files"]

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_NOT_IN_URI = frozenset('%<>:"\\|?*,')  # what the catalogue refuses in a URI, or parts it at


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a search goes on: a page, and the files that fulfil the other terms (None: there are no others)."""

    page: int
    among: frozenset[str] | None = field(default=None, compare=False)


class Files(Noun):
    """What can be done with a file by its URI, and how to find it."""

    def __init__(self, service: Service, default_timezone: str | None = None) -> None:
        super().__init__(service)
        self._default_timezone = default_timezone

    def search(
        self,
        text: str | None = None,
        *,
        metadata: str | Mapping[str, Any] | None = None,
        match: Match = "all",
        filename: str | Sequence[str] | None = None,
        savepoint: str | Sequence[str] | None = None,
        directory: str | None = None,
        uri: str | Sequence[str] | None = None,
        size: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        external: bool | None = None,
        transferred: bool | None = None,
        deleted: bool | None = None,
        own: bool | None = None,
        bundled: bool | None = None,
        locked: bool | None = None,
        sort: Sort | None = None,
        page_size: int = 50,
    ) -> Listing[LakeFile]:
        """The files for which everything holds that is given. Nothing is sent before the first page is asked for.

            >>> async for file in tcup.datalake.search(metadata="colour='blue' & rows>='10'", size=">=1MB"): ...

        ``metadata`` is a query, or a mapping from key to value (:func:`asyncconn.tcup.search.terms`). The catalogue
        takes one of its terms for enough: that is ``match="any"``; ``"all"`` is a search for each term, and the files
        that all of them find. ``filename`` and ``savepoint`` are names or patterns with ``*``, one or several of which
        one is enough; ``uri`` is one or several. ``since`` and ``until`` are included. Deleted files are found with
        ``deleted=True`` alone. Raises ``ConfigError`` for what the catalogue would refuse or misread.
        """
        if type(page_size) is not int or page_size < 1:
            raise ConfigError(f"page_size is at least 1, not {page_size!r}")
        found = [] if metadata is None else search.terms(metadata, match)
        names = one_or_several(filename, "filename")
        points = one_or_several(savepoint, "savepoint")
        params = {
            "text": text,
            "time": search.span(since, until, self._default_timezone) or None,
            "size": None if size is None else search.size(size),
            "external": external,
            "transferred": transferred,
            "deleted": deleted,
            "ownFile": own,
            "bundled": bundled,
            "locked": locked,
            "filename": _joined([search.named(name, "filename") for name in names]),
            "savepoint": _joined([search.named(point, "savepoint") for point in points]),
            "uri": _joined([_findable(one) for one in one_or_several(uri, "uri")]),
            "directory": None if directory is None else fields.directory(directory),
            "sort": search.sorting(sort),
            "pageSize": page_size,
        }

        by_name, by_point = search.only(names), search.only(points)

        def fits(file: LakeFile) -> bool:
            return (by_name is None or by_name(file.name)) and (by_point is None or by_point(file.savepoint))

        return Listing(self._search(params, found, match, fits), LakeFile)

    async def get(self, uri: str) -> LakeFile:
        """The catalogue's entry of one file. Raises ``NotFound``, also for a file that one may not see."""
        fields.file_uri(uri)
        by_name = bool(_NOT_IN_URI & set(uri))  # no search by URI finds it
        async for file in self.search(filename=uri.rpartition("/")[2]) if by_name else self.search(uri=uri):
            if file.uri == uri:
                return file
        raise NotFound(f"there is no file {uri}", Answer("tcup", 404))

    async def rename(self, uri: str, filename: str) -> str:
        """Give a file another name; its new URI. Not repeated when the outcome is unknown."""
        params = {**_of(uri), "filename": fields.filename(filename)}
        return answered_uri(await self._caller.request("files.rename", params=params))

    async def delete(self, uri: str) -> None:
        """Delete a file. Raises ``NotFound``, ``Forbidden``, and ``Conflict`` for one that somebody else has locked."""
        await self._gone("files.delete", params=_of(uri))

    async def lock(self, uri: str) -> None:
        """Keep others from changing a file. Raises ``Conflict`` for one that somebody else has locked."""
        await self._caller.request("files.lock", params=_of(uri))

    async def unlock(self, uri: str) -> None:
        """Let others change it again. Raises ``Conflict`` for one that is not locked."""
        try:
            await self._caller.request("files.unlock", params=_of(uri))
        except Conflict as error:
            if not error.maybe_sent:  # else an attempt before has unlocked it, and its answer was lost
                raise

    async def set_metadata(self, uri: str, metadata: Mapping[str, Any]) -> None:
        """Add pairs to a file's metadata, or replace those of the same keys; all others stay."""
        if not metadata:
            raise ConfigError("metadata: there is no pair to set")
        data = fields.metadata(metadata).encode()
        await self._caller.request("files.set_metadata", params=_of(uri), data=data, headers=_TEXT)

    async def remove_metadata(self, uri: str, key: str) -> None:
        """Remove a pair. Raises ``NotFound`` for a key that the file has not."""
        await self._gone("files.remove_metadata", params={**_of(uri), "key": fields.metadata_key(key)})

    async def comment(self, uri: str, text: str) -> None:
        """Say something of a file. Not repeated when the outcome is unknown."""
        given: Any = text
        if not isinstance(given, str) or not is_plain("".join(text.split())):
            raise ConfigError("comment: a text that is not empty, without control characters")
        await self._caller.request("files.comment", params=_of(uri), data=text.encode(), headers=_TEXT)

    def comments(self, uri: str) -> Listing[Comment]:
        """What has been said of it."""
        return self._listing(Comment, "files.comments", params=_of(uri))

    # -- searching -----------------------------------------------------------------------------------------------------

    def _search(
        self, params: Mapping[str, Any], found: list[Term], match: Match, fits: Callable[[LakeFile], bool]
    ) -> Pager[LakeFile]:
        """Pages of what fulfils all terms, or any."""
        apart = match == "all" and len(found) > 1
        first = {**params, "metadata": str(found[0]) if apart else search.terms_text(found) or None}

        async def fetch(place: _Place | None) -> Page[LakeFile]:
            if place is None:
                place = _Place(1, await self._fulfilling(params, found[1:]) if apart else None)
            if place.among is not None and not place.among:
                return Page()
            files = await self._files(first, place.page)
            kept = [file for file in files if fits(file) and (place.among is None or file.uri in place.among)]
            # Neither the page nor the count that it tells says for sure where the end is (13.11).
            more = len(files) >= params["pageSize"]
            return Page(kept, _Place(place.page + 1, place.among) if more else None)

        return Pager(fetch)

    async def _fulfilling(self, params: Mapping[str, Any], found: list[Term]) -> frozenset[str]:
        """The URIs of the files that fulfil each of the terms."""
        among: frozenset[str] | None = None
        for term in found:
            every = self._search(params, [term], "any", lambda _: True)
            uris = frozenset([file.uri async for file in every])
            among = uris if among is None else among & uris
            if not among:
                break
        return among or frozenset()

    async def _files(self, params: Mapping[str, Any], page: int) -> list[LakeFile]:
        try:
            found = await self._json("files.search", params={**params, "pageNo": page})
        except NotFound as error:
            if error.body.lstrip().startswith("<"):  # a web server's own page: there is no catalogue at that address
                raise
            return []  # how the catalogue says that there are none, or no more
        return self._all(LakeFile, items_of(found, "result", "files.search", self.misfit))


def _of(uri: str) -> dict[str, Any]:
    return {"file-uri": fields.file_uri(uri)}


def _joined(found: list[str]) -> str | None:
    return ",".join(found) or None


def _findable(uri: str) -> str:
    fields.file_uri(uri)
    if "://" not in uri and (wrong := sorted(_NOT_IN_URI & set(uri))):
        raise ConfigError(
            f"uri: the catalogue takes none with {' '.join(wrong)}: get() finds it, or a search by filename"
        )
    return uri
