"""What is done with files that are there: catalogue, names, locks, comments, metadata.

Contract: tcup sections 6.3, 6.5, 13.2, 13.8, 13.9, 13.11 and 13.27.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.dls.fields import (
    Meta,
    broken,
    checked_directory,
    checked_filename,
    checked_metadata,
    invalid,
)
from asyncconn.sandbox.tcup.dls.lake import Comment, seen_metadata
from asyncconn.sandbox.tcup.dls.searching import any_pattern, checked_uris, has_any, size_test, terms
from asyncconn.sandbox.tcup.times import dls_time, read_time
from asyncconn.sandbox.tcup.voice import Refused, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.sandbox.exchange import Answer
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.dls.lake import File, Lake

__all__ = ["Files"]

_PAGE_SIZE = 50
_SORTS: dict[str, Callable[[File], Any]] = {
    "createdOn": lambda file: file.created,
    "fileName": lambda file: file.name,
    "size": lambda file: file.content.size,
}


class Files:
    """Search, delete, rename, lock, comment, metadata."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def routes(self) -> Iterable[Route]:
        """Its calls."""
        return (
            ("GET", "/catalog", self._search),
            ("DELETE", "/file", self._delete),
            ("PUT", "/file/name", self._rename),
            ("PUT", "/file/lock", self._lock),
            ("DELETE", "/file/lock", self._unlock),
            ("GET", "/file/comment", self._comments),
            ("POST", "/file/comment", self._comment),
            ("PUT", "/file/metadata", self._add_metadata),
            ("DELETE", "/file/metadata", self._remove_metadata),
        )

    # -- catalogue -----------------------------------------------------------------------------------------------------

    def _search(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        tests = _tests(ask, user.name)
        number, size = _count(ask, "pageNo", "page number", 1), _count(ask, "pageSize", "page size", _PAGE_SIZE)
        sort = ask.param("sort", "createdOn")
        if sort not in _SORTS:
            raise invalid("sort", sort, f"sort must be one of {', '.join(_SORTS)}")
        found = [file for file in self._lake.visible(user.name) if all(test(file) for test in tests)]
        page = sorted(found, key=_SORTS[sort])[(number - 1) * size : number * size]
        if not page:
            raise Refused(404, "no file found")
        return json_answer(
            {
                "page": f"{number} of {-(-len(found) // size)}",
                "count": len(found),
                "result": [file.shown(user.name) for file in page],
            }
        )

    # -- one file ------------------------------------------------------------------------------------------------------

    def _delete(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.changeable(ask, user, "D")
        del self._lake.files[file.uri]
        file.deleted = True
        self._lake.gone.append(file)
        return text_answer("deleted")

    def _rename(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.changeable(ask, user, "W")
        name = checked_filename(ask.param("filename"))
        uri = self._lake.uri(file.owner, file.directory, file.savepoint, name)
        if uri in self._lake.files:
            raise Refused(409, "already exists")
        del self._lake.files[file.uri]
        file.uri, file.name = uri, name
        self._lake.files[uri] = file
        return text_answer(uri)

    def _lock(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.changeable(ask, user, "W")
        file.locked_by = user.name
        return text_answer("locked")

    def _unlock(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.asked(ask, user)
        if file.locked_by is None:
            raise Refused(409, "file is not locked")
        if user.name not in (file.locked_by, file.owner):
            raise Refused(403, "only who locked a file or owns it may unlock it")
        file.locked_by = None
        return text_answer("unlocked")

    def _comments(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.asked(ask, user)
        return json_answer([_shown(comment, file) for comment in file.comments])

    def _comment(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.asked(ask, user)
        text = _text(ask)
        if not text.strip():
            raise broken("a comment must not be empty")
        file.comments.append(Comment(text, user.name, self._lake.clock.utcnow()))
        return text_answer("created", 201)

    def _add_metadata(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.changeable(ask, user, "W")
        given = checked_metadata(_text(ask), user.name)
        self._keep(file, {**file.metadata, **given})
        return text_answer("updated")

    def _remove_metadata(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        file = self._lake.changeable(ask, user, "W")
        key = ask.param("key").lower()
        if key not in file.metadata or key.startswith("dls:"):
            raise Refused(404, "metadata not found")
        self._keep(file, {name: meta for name, meta in file.metadata.items() if name != key})
        return text_answer("deleted")

    def _keep(self, file: File, metadata: dict[str, Meta]) -> None:
        own = {key: meta for key, meta in metadata.items() if key.startswith("dls:")}
        theirs = {key: meta for key, meta in metadata.items() if key not in own}
        there = self._lake.directories.get(file.directory or "")
        file.metadata = {**self._lake.check_metadata(theirs, there), **own}


def _shown(comment: Comment, file: File) -> dict[str, str]:
    return {
        "comment": comment.text,
        "commented-on": dls_time(comment.at),
        "file-uri": file.uri,
        "user": comment.user,
    }


def _text(ask: Ask) -> str:
    try:
        return ask.call.body.decode()
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8") from None


def _count(ask: Ask, name: str, words: str, default: int) -> int:
    text = ask.param(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise invalid(name.replace("page", "page-").lower(), text, f"{words} must be at least 1")
    return int(text)


def _tests(ask: Ask, user: str) -> list[Callable[[File], bool]]:
    """All must be met."""
    deleted = bool(ask.flag("deleted"))
    tests: list[Callable[[File], bool]] = [lambda file: file.deleted == deleted, *_flags(ask, user)]
    if text := ask.param("text").lower():
        tests.append(lambda file: _holds(file, text, user))
    if directory := checked_directory(ask.param("directory")):
        tests.append(lambda file: file.directory == directory)
    if (times := _times(ask)) is not None:
        tests.append(lambda file: times[0] <= file.created.timestamp() and file.created.timestamp() < times[1] + 1)
    if size := ask.param("size"):
        fits = size_test(size)
        tests.append(lambda file: fits(file.content.size))
    if filename := ask.param("filename"):
        named = any_pattern(filename)
        tests.append(lambda file: named(file.name))
    if savepoint := ask.param("savepoint"):
        saved = any_pattern(savepoint)
        tests.append(lambda file: saved(file.savepoint or ""))
    if uri := ask.param("uri"):
        uris = checked_uris(uri)
        tests.append(lambda file: file.uri in uris)
    if "metadata" in ask.params:
        asked = terms(ask.param("metadata"))
        tests.append(lambda file: has_any(asked, seen_metadata(file.metadata, user)))
    return tests


def _flags(ask: Ask, user: str) -> Iterable[Callable[[File], bool]]:
    wants = {name: ask.flag(name) for name in ("external", "transferred", "ownFile", "bundled", "locked")}
    says: dict[str, Callable[[File], bool]] = {
        "external": lambda file: file.external,
        "transferred": lambda file: file.transferred,
        "ownFile": lambda file: file.owner == user,
        "bundled": lambda _: False,  # nothing of this sandbox is
        "locked": lambda file: file.locked_by is not None,
    }
    return [_equals(says[name], want) for name, want in wants.items() if want is not None]


def _equals(say: Callable[[File], bool], want: bool) -> Callable[[File], bool]:
    return lambda file: say(file) is want


def _times(ask: Ask) -> tuple[float, float] | None:
    """Both ends are in the window; the file's time is looked at in whole seconds, as it is shown."""
    given = ask.params.get("time", [])
    if len(given) > 2:
        raise invalid("time", given[2], "time may be there twice at most")
    try:
        ends = [read_time(text).timestamp() for text in given]
    except ValueError as error:
        raise invalid("time", str(given[-1]), str(error)) from None
    if not ends:
        return None
    return ends[0], ends[1] if len(ends) == 2 else float("inf")


def _holds(file: File, text: str, user: str) -> bool:
    words = [file.name, file.savepoint or "", *(comment.text for comment in file.comments)]
    words += [word for meta in seen_metadata(file.metadata, user) for word in (meta.name, meta.value)]
    return any(text in word.lower() for word in words)
