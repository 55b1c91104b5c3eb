"""What a tenant's data lake holds, and who may do what with it.

Contract: tcup sections 6.1, 6.4, 6.7, 13.12 and 13.37.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.dls.fields import Meta, is_url
from asyncconn.sandbox.tcup.times import dls_time
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.tcup.asking import Ask
    from asyncconn.sandbox.tcup.contents import Content
    from asyncconn.sandbox.tcup.tenants import DlsUser, Tenant

__all__ = ["Comment", "Directory", "File", "Lake", "Link", "Permission", "seen_metadata", "shown_metadata"]

_ALL = "RWD"


@dataclass(frozen=True, slots=True)
class Permission:
    """What some users may do with the files of a directory, and with it itself."""

    users: tuple[str, ...]
    action: str
    directory_action: str


@dataclass(slots=True)
class Directory:
    """A directory: ``rules`` are the type and the default of each key of its files' metadata."""

    id: str
    path: str
    creator: str
    created: datetime
    strict: bool = False
    permissions: tuple[Permission, ...] = ()
    rules: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    metadata: dict[str, Meta] = field(default_factory=dict)

    def action(self, user: str) -> str:
        """What a user may do with its files."""
        return _ALL if user == self.creator else _union(one.action for one in self.permissions if user in one.users)

    def own_action(self, user: str) -> str:
        """What a user may do with the directory."""
        if user == self.creator:
            return _ALL
        return _union(one.directory_action for one in self.permissions if user in one.users)


@dataclass(frozen=True, slots=True)
class Comment:
    """What a user said of a file."""

    text: str
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """Two files, and the relation of the first to the second."""

    source: str
    relation: str
    target: str


@dataclass(slots=True)
class File:
    """An entry of the catalogue. ``hidden`` is a former version; an announced one is not ``transferred`` yet."""

    uri: str
    name: str
    owner: str
    created: datetime
    content: Content = field(repr=False)
    content_type: str = "application/octet-stream"
    directory: str | None = None
    savepoint: str | None = None
    metadata: dict[str, Meta] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    shares: dict[str, str] = field(default_factory=dict)
    locked_by: str | None = None
    transferred: bool = True
    external: bool = False
    deleted: bool = False
    hidden: bool = False

    def shown(self, viewer: str) -> dict[str, Any]:
        """As the catalogue shows it to a user."""
        return {
            "name": self.name,
            "path": self.uri,
            "file-uri": self.uri,
            "savepoint": self.savepoint,
            "directory": self.directory,
            "size-bytes": self.content.size,
            "created-on": dls_time(self.created),
            "created-by": self.owner,
            "transferred": self.transferred,
            "external": self.external,
            "deleted": self.deleted,
            "locked": self.locked_by is not None,
            "metadata": shown_metadata(self.metadata, viewer),
        }


class Lake:
    """Files by URI, directories by path, relations by name. ``gone`` are deleted files, whose URIs are free again."""

    def __init__(self, tenant: Tenant, clock: MovableClock) -> None:
        self.tenant = tenant
        self.clock = clock
        self.files: dict[str, File] = {}
        self.gone: list[File] = []
        self.directories: dict[str, Directory] = {}
        self.relations: dict[str, str] = {}
        self.links: list[Link] = []
        self.schema: Mapping[str, str] | None = None
        self._directory_ids = 0

    def caller(self, ask: Ask, *, admin: bool = False) -> DlsUser:
        """Who asks. Raises 403 without a key or the rights of an admin, 401 for an unknown key."""
        key = ask.header("x-dls-key")
        if not key:
            raise Refused(403, "DLS key is missing")
        user = self.tenant.dls_user(key)
        if user is None:
            raise Refused(401, "DLS key is not known")
        if admin and not user.admin:
            raise Refused(403, "only an admin may do this")
        return user

    def next_directory_id(self) -> str:
        """One that no directory has."""
        self._directory_ids += 1
        return f"D{self._directory_ids}"

    def uri(self, user: str, directory: str | None, savepoint: str | None, filename: str) -> str:
        """The place of a file. A directory must be known: raises 409."""
        if is_url(filename):
            return filename
        place = [self.tenant.user, user]
        if directory is not None:
            place.append(self.directory(directory).id)
        return "/".join([*place, *([savepoint] if savepoint else []), filename])

    def directory(self, path: str) -> Directory:
        """By path. Raises 409, as an upload into an unknown one does."""
        found = self.directories.get(path)
        if found is None:
            raise Refused(409, f"directory {path} is not there")
        return found

    def action(self, file: File, user: str) -> str:
        """What a user may do with a file; empty for one that it may not see."""
        if user == file.owner:
            return _ALL
        there = self.directories.get(file.directory or "")
        return _union([file.shares.get(user, ""), there.action(user) if there else ""])

    def visible(self, user: str) -> Iterator[File]:
        """All files of the catalogue that a user may see, former versions left out."""
        for file in [*self.files.values(), *self.gone]:
            if not file.hidden and self.action(file, user):
                yield file

    def find(self, uri: str, user: str, right: str = "") -> File:
        """A file that a user sees. Raises 404, and 403 without ``right``."""
        file = self.files.get(uri)
        action = "" if file is None else self.action(file, user)
        if file is None or not action:
            raise Refused(404, "file not found")
        if right not in action:
            raise Refused(403, f"no permission {right} for the file")
        return file

    def asked(self, ask: Ask, user: DlsUser, right: str = "") -> File:
        """The file of ``?file-uri=``. Raises 400 without one, else as :meth:`find`."""
        uri = ask.param("file-uri")
        if not uri:
            raise Refused(400, "file-uri is missing")
        return self.find(uri, user.name, right)

    def changeable(self, ask: Ask, user: DlsUser, right: str) -> File:
        """The file of ``?file-uri=``, unless another user has locked it. Raises 409 then."""
        file = self.asked(ask, user, right)
        if file.locked_by not in (None, user.name):
            raise Refused(409, "file is locked")
        return file

    def check_metadata(self, metadata: Mapping[str, Meta], directory: Directory | None) -> dict[str, Meta]:
        """With the directory's defaults. Raises 409 for what schema or directory do not want."""
        full = dict(metadata)
        if self.schema is not None:
            for key, meta in full.items():
                _check_type(meta, self.schema.get(key))
        if directory is None:
            return full
        for key, (kind, default) in directory.rules.items():
            if key not in full and directory.strict:
                raise Refused(409, f"metadata {key} is mandatory in this directory")
            if key not in full and default is not None:
                full[key] = Meta(key, default, "public", directory.creator)
            if key in full:
                _check_type(full[key], kind)
        if directory.strict and (extra := full.keys() - directory.rules.keys()):
            raise Refused(409, f"metadata {', '.join(sorted(extra))} is not wanted in this directory")
        return full

    def stored_bytes(self) -> int:
        """What counts against the quota: hidden former versions do not, archived ones do."""
        return sum(file.content.size for file in self.files.values() if not file.hidden)


def seen_metadata(metadata: Mapping[str, Meta], viewer: str) -> list[Meta]:
    """What a user may search by."""
    return [meta for meta in metadata.values() if meta.privacy == "public" or meta.updated_by == viewer]


def shown_metadata(metadata: Mapping[str, Meta], viewer: str) -> list[dict[str, str]]:
    """As a user sees it: what is private to others is masked."""
    shown = []
    for meta in metadata.values():
        masked = meta.privacy == "private" and meta.updated_by != viewer
        shown.append(
            {
                "name": f"{meta.name}[private]" if masked else meta.name,
                "value": "***" if masked else meta.value,
                "privacy": meta.privacy,
                "updated-by": meta.updated_by,
            }
        )
    return shown


def _union(actions: Iterable[str]) -> str:
    given = "".join(actions)
    return "".join(letter for letter in _ALL if letter in given)


def _check_type(meta: Meta, kind: str | None) -> None:
    if kind is None:
        raise Refused(409, f"metadata {meta.name} is not in the schema")
    if kind == "NUMERIC":
        try:
            float(meta.value)
        except ValueError:
            raise Refused(409, f"metadata {meta.name} must be numeric") from None
