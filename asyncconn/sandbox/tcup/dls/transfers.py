"""Files up and down.

Contract: tcup sections 6.4, 6.8, 13.6, 13.10 and 13.12.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from asyncconn.sandbox.tcup.contents import Gathering, Stored, joined
from asyncconn.sandbox.tcup.dls.fields import (
    Meta,
    checked_directory,
    checked_filename,
    checked_metadata,
    checked_savepoint,
    invalid,
    is_url,
)
from asyncconn.sandbox.tcup.dls.lake import Comment, File
from asyncconn.sandbox.tcup.multipart import parts
from asyncconn.sandbox.tcup.ranges import file_answer
from asyncconn.sandbox.tcup.times import archive_suffix
from asyncconn.sandbox.tcup.voice import Refused, text_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.exchange import Answer
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.dls.lake import Lake
    from asyncconn.sandbox.tcup.multipart import Part
    from asyncconn.sandbox.tcup.tenants import DlsUser

__all__ = ["Limits", "Transfers"]

Mode = Literal["RESTRICT", "OVERWRITE", "APPEND", "ARCHIVE"]

_MODES: dict[str, Mode] = {"RESTRICT": "RESTRICT", "OVERWRITE": "OVERWRITE", "APPEND": "APPEND", "ARCHIVE": "ARCHIVE"}
_MOST_REQUEST_BYTES = 2 * 1024**3
_MOST_APPENDED_BYTES = 10 * 1024**2
_MOST_TEXT_BYTES = 1024**2
_UNFINISHED = "..resume"


@dataclass(slots=True)
class Limits:
    """Of a file above ``keep_bytes`` only the digest is kept; ``quota_bytes`` None is no quota."""

    keep_bytes: int = 64 * 1024**2
    quota_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Aim:
    """Where an upload goes, as its query says."""

    filename: str
    directory: str | None
    savepoint: str | None
    mode: Mode = "RESTRICT"


@dataclass(slots=True)
class _Sent:
    """What an upload brought. A text that was not sent is None."""

    filename: str | None = None
    content: Stored | None = None
    content_type: str = "application/octet-stream"
    metadata: str | None = None
    comment: str | None = None


class Transfers:
    """Upload in four modes, download with ranges, and the announcement of an upload that comes in parts.

    ``limits`` says how many bytes a file may have to be kept, and how many all files may have together.
    """

    def __init__(self, lake: Lake, limits: Limits) -> None:
        self._lake = lake
        self._limits = limits

    def routes(self) -> Iterable[Route]:
        """Its calls."""
        return (
            ("POST", "/file", self._upload),
            ("GET", "/file", self._download),
            ("POST", "/file/resumable", self._announce),
            ("GET", "/file/status/{filename}", self._status),
            ("PUT", "/file/status", self._set_status),
        )

    # -- up ------------------------------------------------------------------------------------------------------------

    async def _upload(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        mode = _MODES.get(ask.param("mode", "RESTRICT").upper())
        if mode is None:
            raise Refused(400, f"mode must be one of {', '.join(_MODES)}")
        sent = await _read(ask, self._limits.keep_bytes)
        aim = _aim(ask, ask.param("filename") or sent.filename or "", mode)
        if sent.content is None and not is_url(aim.filename):
            raise Refused(400, "the part file is missing")
        return text_answer(self._store(user, aim, sent), 201)

    def _store(self, user: DlsUser, aim: _Aim, sent: _Sent) -> str:
        _check_name(aim, sent)
        uri = self._lake.uri(user.name, aim.directory, aim.savepoint, aim.filename)
        there = None if aim.directory is None else self._lake.directory(aim.directory)
        if there is not None and "W" not in there.action(user.name):
            raise Refused(409, "no right to write to the directory")
        old = self._lake.files.get(uri)
        if aim.mode == "RESTRICT" and old is not None and old.transferred:
            raise Refused(409, "already exists")
        if aim.mode != "RESTRICT":
            old = self._replaceable(old, aim)
        content = sent.content or Gathering(0).done()
        if aim.mode == "APPEND" and old is not None:
            if content.size > _MOST_APPENDED_BYTES:
                raise Refused(400, f"a part to append must have at most {_MOST_APPENDED_BYTES} bytes")
            content = self._appended(old, content)
        metadata = self._lake.check_metadata(self._metadata(user, old, sent), there)
        self._check_quota(content, None if aim.mode == "ARCHIVE" else old)
        new = File(
            uri,
            aim.filename,
            user.name,
            self._lake.clock.utcnow(),
            content,
            sent.content_type,
            aim.directory,
            aim.savepoint,
            metadata,
            external=is_url(aim.filename),
        )
        if old is not None:
            new.comments, new.shares = list(old.comments), dict(old.shares)
            if aim.mode != "RESTRICT":
                self._keep_former(old, new, aim.mode)
        if sent.comment:
            new.comments.append(Comment(sent.comment, user.name, new.created))
        self._lake.files[uri] = new
        return uri

    def _replaceable(self, old: File | None, aim: _Aim) -> File:
        if old is None or not old.transferred or old.external:
            raise Refused(400, f"there is no file for {aim.mode}")
        if old.locked_by is not None:
            raise Refused(409, "file is locked")
        return old

    def _appended(self, old: File, part: Stored) -> Stored:
        if not isinstance(old.content, Stored):
            raise Refused(409, "a generated file cannot be appended to")
        return joined(old.content, part, self._limits.keep_bytes)

    def _metadata(self, user: DlsUser, old: File | None, sent: _Sent) -> dict[str, Meta]:
        if sent.metadata is not None:
            return checked_metadata(sent.metadata, user.name)
        return {} if old is None else {key: meta for key, meta in old.metadata.items() if not key.startswith("dls:")}

    def _check_quota(self, content: Stored, replaced: File | None) -> None:
        more = content.size - (0 if replaced is None else replaced.content.size)
        quota = self._limits.quota_bytes
        if quota is not None and self._lake.stored_bytes() + more > quota:
            raise Refused(409, "the quota of the tenant is exceeded")

    def _keep_former(self, old: File, new: File, mode: Mode) -> None:
        former = self._free(f"{old.uri}_{archive_suffix(new.created)}")
        name = former.rpartition("/")[2]
        self._lake.files[former] = replace(old, uri=former, name=name, hidden=mode != "ARCHIVE", locked_by=None)
        word = "dls:archivedTo" if mode == "ARCHIVE" else "dls:lineage"
        new.metadata[word.lower()] = Meta(word, former, "public", new.owner)

    def _free(self, uri: str) -> str:
        number, free = 0, uri
        while free in self._lake.files:  # a second archive within one second
            number += 1
            free = f"{uri}-{number}"
        return free

    # -- in parts ------------------------------------------------------------------------------------------------------

    async def _announce(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        if not ask.param("sizeInBytes").isdecimal():
            raise invalid("size-in-bytes", ask.param("sizeInBytes"), "size must be a number of bytes")
        aim = _aim(ask, ask.param("filename"), "RESTRICT")
        uri = self._store(user, aim, await _read(ask, self._limits.keep_bytes))
        self._lake.files[uri].transferred = False
        return text_answer(uri, 201)

    def _status(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        aim = _aim(ask, ask.args["filename"], "RESTRICT")
        file = self._lake.find(self._lake.uri(user.name, aim.directory, aim.savepoint, aim.filename), user.name)
        return text_answer(file.uri if file.transferred else file.uri + _UNFINISHED)

    def _set_status(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.asked(ask, user, "W")
        if not ask.param("status"):
            raise Refused(400, "status is missing")
        file.transferred = not ask.param("status").endswith(_UNFINISHED)
        return text_answer("updated")

    # -- down ----------------------------------------------------------------------------------------------------------

    def _download(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.asked(ask, user)
        if file.external:
            raise Refused(409, "the file is not in the lake")
        if not file.transferred:
            raise Refused(409, "the file was never sent to its end")
        there = self._lake.directories.get(file.directory or "")
        if there is not None and "R" not in there.action(user.name) + file.shares.get(user.name, ""):
            raise Refused(409, "the directory grants no right to read")
        self._lake.find(file.uri, user.name, "R")
        if not file.content.kept:
            raise Refused(409, "the sandbox kept the digest alone of so large a file")
        return file_answer(ask.call, file.content, file.name, file.content_type)


def _aim(ask: Ask, filename: str, mode: Mode) -> _Aim:
    return _Aim(
        checked_filename(filename),
        checked_directory(ask.param("directory")),
        checked_savepoint(ask.param("savepoint")),
        mode,
    )


def _check_name(aim: _Aim, sent: _Sent) -> None:
    if sent.filename is not None and sent.filename.casefold() != aim.filename.casefold():
        raise invalid("filename", aim.filename, "file name differs from that of the part")


async def _read(ask: Ask, keep: int) -> _Sent:
    sent = _Sent()
    async for part in parts(ask.call):
        match part.name:
            case "file":
                await _take(part, sent, keep, ask.header("Content-Length"))
            case "metadata":
                sent.metadata = await part.text(_MOST_TEXT_BYTES)
            case "comment":
                sent.comment = await part.text(_MOST_TEXT_BYTES)
    return sent


async def _take(part: Part, sent: _Sent, keep: int, length: str) -> None:
    keep = max(keep, _MOST_APPENDED_BYTES)
    # What is known to be too large is not even held at first.
    gathering = Gathering(0 if length.isdecimal() and int(length) > keep + _MOST_TEXT_BYTES else keep)
    async for piece in part:
        gathering.add(piece)
        if gathering.size > _MOST_REQUEST_BYTES:
            raise Refused(400, f"an upload must have at most {_MOST_REQUEST_BYTES} bytes")
    sent.filename = part.filename
    sent.content = gathering.done()
    sent.content_type = part.content_type
