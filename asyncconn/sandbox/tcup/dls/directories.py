"""Directories: what they hold, what they want of metadata, and who may do what there.

Contract: tcup sections 6.2, 6.7, 13.1 and 13.34.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.dls.fields import broken, checked_directory, checked_metadata, invalid, permission
from asyncconn.sandbox.tcup.dls.lake import Directory, Permission, seen_metadata, shown_metadata
from asyncconn.sandbox.tcup.dls.people import each
from asyncconn.sandbox.tcup.dls.searching import has_any, terms
from asyncconn.sandbox.tcup.times import dls_time
from asyncconn.sandbox.tcup.voice import Refused, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.exchange import Answer
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.dls.lake import File, Lake
    from asyncconn.sandbox.tcup.tenants import DlsUser

__all__ = ["Directories"]


class Directories:
    """Make, explore and delete them."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def routes(self) -> Iterable[Route]:
        """Their calls."""
        return (
            ("GET", "/directory", self._explore),
            ("POST", "/directory", self._create),
            ("DELETE", "/directory", self._delete),
        )

    # -- look ----------------------------------------------------------------------------------------------------------

    def _explore(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask).name
        path = checked_directory(ask.param("directory")) or "/"
        there = self._lake.directories.get(path)
        if path != "/" and (there is None or not self._sees(there, user)):
            raise Refused(404, "directory not found")
        directories = [one for one in self._below(path) if self._sees(one, user)]
        files = [file for file in self._inside(path) if self._lake.action(file, user)]
        if "metadata" in ask.params:
            asked = terms(ask.param("metadata"))
            directories = [one for one in directories if has_any(asked, seen_metadata(one.metadata, user))]
            files = [file for file in files if has_any(asked, seen_metadata(file.metadata, user))]
        if not directories and not files:
            raise Refused(404, "nothing found")
        return json_answer(
            {
                "current-page": 1,
                "total-page": 1,
                "record-count": len(directories) + len(files),
                "directories": [self._shown(one) for one in directories],
                "files": [_shown_file(file, user) for file in files],
            }
        )

    def _shown(self, directory: Directory) -> dict[str, Any]:
        return {
            "name": directory.path.rpartition("/")[2],
            "path": directory.path,
            "created-on": dls_time(directory.created),
            "created-by": directory.creator,
            "file-count": len(self._inside(directory.path)),
            "subdir-count": len(self._below(directory.path)),
        }

    def _below(self, path: str) -> list[Directory]:
        return [one for one in self._lake.directories.values() if (one.path.rpartition("/")[0] or "/") == path]

    def _inside(self, path: str) -> list[File]:
        return [file for file in self._lake.files.values() if (file.directory or "/") == path and not file.hidden]

    def _sees(self, directory: Directory, user: str) -> bool:
        return bool(directory.action(user) or directory.own_action(user))

    # -- make and delete -----------------------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)
        return each(
            ask,
            "directory",
            lambda item: self._made(item["directory"], item, user),
            lambda made: self._keep(made, user),
        )

    def _keep(self, made: Directory, user: DlsUser) -> tuple[int, str]:
        if made.path == "/" or made.path in self._lake.directories:
            return 409, "already exists"
        above = [one for parent in _parents(made.path) if (one := self._lake.directories.get(parent)) is not None]
        if any("W" not in one.own_action(user.name) for one in above[-1:]):
            return 409, "no right to write to the directory"
        for parent in _parents(made.path):
            if parent not in self._lake.directories:
                self._lake.directories[parent] = self._made(parent, {}, user)
        self._lake.directories[made.path] = made
        return 201, "created"

    def _made(self, path: str, item: dict[str, Any], user: DlsUser) -> Directory:
        enforcement = item.get("enforcement", "STANDARD")
        if enforcement not in ("STANDARD", "STRICT"):
            raise invalid("enforcement", str(enforcement), "enforcement must be STANDARD or STRICT")
        return Directory(
            self._lake.next_directory_id(),
            checked_directory(path) or "/",
            user.name,
            self._lake.clock.utcnow(),
            enforcement == "STRICT",
            tuple(_permission(one) for one in _objects(item, "permissions")),
            dict(_rule(one) for one in _objects(item, "metadata-rule")),
            checked_metadata(str(item.get("meta-data") or ""), user.name),
        )

    def _delete(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask).name
        path = checked_directory(ask.param("directory"))
        there = self._lake.directories.get(path or "")
        if there is None or not self._sees(there, user):
            raise Refused(404, "directory not found")
        if "D" not in there.own_action(user):
            raise Refused(403, "no permission D for the directory")
        if self._below(there.path) or any(file.directory == there.path for file in self._lake.files.values()):
            raise Refused(409, "directory is not empty")
        del self._lake.directories[there.path]
        return text_answer("deleted")


def _parents(path: str) -> list[str]:
    levels = path.split("/")[1:-1]
    return ["/" + "/".join(levels[: number + 1]) for number in range(len(levels))]


def _objects(item: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise broken(f"{key} must be a list of objects")
    return value


def _permission(item: dict[str, Any]) -> Permission:
    users = item.get("users")
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise broken("a permission needs a list of users")
    return Permission(tuple(users), permission(item.get("action")), permission(item.get("directory-action")))


def _rule(item: dict[str, Any]) -> tuple[str, tuple[str, str | None]]:
    name, kind, default = item.get("name"), item.get("type"), item.get("default-value")
    if not isinstance(name, str) or kind not in ("TEXT", "NUMERIC"):
        raise broken("a metadata rule needs a name, and TEXT or NUMERIC as its type")
    return name.lower(), (str(kind), None if default is None else str(default))


def _shown_file(file: File, viewer: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "path": file.uri,
        "created-on": dls_time(file.created),
        "created-by": file.owner,
        "size-bytes": file.content.size,
        "metadata": shown_metadata(file.metadata, viewer),
    }
