"""Who may do what in the data lake, and what belongs together there. Contract: tcup sections 6.6, 6.7, 13.2, 13.13."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ConfigError, NotFound
from asyncconn.http.pages import items_of
from asyncconn.tcup import fields, search
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.lake_models import (
    Directory,
    Entry,
    LakeUser,
    Link,
    Outcomes,
    Relation,
    Share,
    outcomes,
)
from asyncconn.tcup.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["People"]


class People(Noun):
    """Relations and links, shares, directories, users.

    What is done with several things at once has an outcome for each, in their order, refused or not:
    ``raise_for_failed()`` makes an error of that.
    """

    def relations(self) -> Listing[Relation]:
        """The kinds of links that there are."""
        return self._listing(Relation, "relations.list")

    async def create_relations(self, relations: Mapping[str, str] | Iterable[str]) -> Outcomes:
        """Define kinds of links: names, or a mapping from name to description. Only an admin may: ``Forbidden``.

        >>> (await tcup.datalake.create_relations({"derivedFrom": "made of it"})).raise_for_failed()
        """
        named = dict(relations) if isinstance(relations, Mapping) else dict.fromkeys(relations, "")
        items = [
            {"name": fields.name(name, "relation"), **({"description": said} if said else {})}
            for name, said in named.items()
        ]
        return await self._each("relations.create", items, list(named))

    async def delete_relation(self, name: str) -> None:
        """Remove a kind of link. Only an admin may: ``Forbidden``."""
        await self._gone("relations.delete", ids={"name": name})

    def links(self, uri: str) -> Listing[Link]:
        """The links from and to a file."""
        return self._listing(Link, "links.list", params={"file-uri": fields.file_uri(uri)})

    async def link(self, links: Iterable[Link | tuple[str, str, str]]) -> Outcomes:
        """Link files: each link is (source URI, relation, target URI).

        >>> await tcup.datalake.link([(raw, "derivedFrom", all_of_it)])
        """
        made = [_link(one) for one in links]
        return await self._each("links.create", [one.wire() for one in made], made)

    async def unlink(self, links: Iterable[Link | tuple[str, str, str]]) -> Outcomes:
        """Remove links."""
        made = [_link(one) for one in links]
        return await self._each("links.delete", [one.wire() for one in made], made)

    def shares(self, uri: str) -> Listing[Share]:
        """Who may do what with a file."""
        return self._listing(Share, "shares.list", params={"file-uri": fields.file_uri(uri)})

    async def share(self, uri: str | Sequence[str], users: str | Sequence[str], action: str = "R") -> Outcomes:
        """Let users of the same tenant read (``R``), write (``W``) or delete (``D``) files: a share for each URI."""
        made = _shares(uri, users, action)
        return await self._each("shares.create", [one.wire() for one in made], made)

    async def unshare(self, uri: str | Sequence[str], users: str | Sequence[str], action: str = "RWD") -> Outcomes:
        """Take that back."""
        made = _shares(uri, users, action)
        return await self._each("shares.delete", [one.wire() for one in made], made)

    def directories(self, path: str = "/", *, metadata: str | Mapping[str, Any] | None = None) -> Listing[Entry]:
        """What is in a directory: directories first, then files. Empty where nothing is found."""
        params = {
            "directory": fields.directory(path),
            "metadata": None if metadata is None else search.terms_text(search.terms(metadata)),
        }

        async def fetch(_: object) -> Page[Entry]:
            try:
                found = await self._json("directories.list", params=params)
            except NotFound as error:
                if error.body.lstrip().startswith("<"):  # a web server's own page: there is no data lake there
                    raise
                return Page()
            inside = [
                {**one, "is-directory": kind == "directories"}
                for kind in ("directories", "files")
                for one in items_of(found, kind, "directories.list", self.misfit)
                if isinstance(one, dict)
            ]
            return Page(self._all(Entry, inside))

        return Listing(Pager(fetch), Entry)

    async def create_directories(self, directories: Iterable[Directory | str]) -> Outcomes:
        """Make directories, and their parents.

        >>> await tcup.datalake.create_directories([Directory("/d1", permissions=[Permission(["user2"], "RW")])])
        """
        made = [Directory(one) if isinstance(one, str) else one for one in directories]
        return await self._each("directories.create", [one.wire() for one in made], made)

    async def delete_directory(self, path: str) -> None:
        """Delete a directory. Raises ``NotFound``, and ``Conflict`` for one that is not empty."""
        await self._gone("directories.delete", params={"directory": fields.directory(path)})

    def users(self) -> Listing[LakeUser]:
        """The users of the data lake, and which of them are admins."""
        return self._listing(LakeUser, "users.list")

    async def create_users(self, users: Mapping[str, str | None] | Iterable[str]) -> Outcomes:
        """Add users: names, or a mapping from name to key. Without one the server makes it. Only an admin may."""
        named: dict[str, str | None] = dict(users) if isinstance(users, Mapping) else dict.fromkeys(users)
        items = [{"dls-user": fields.user(name), **({"dls-key": key} if key else {})} for name, key in named.items()]
        return await self._each("users.create", items, list(named))

    async def storage(self) -> dict[str, Any]:
        """Where the platform keeps the files, for admins: ``{"type": "NFS", "value": "<mount point>"}``."""
        return await self._one(dict, "storage.type")

    async def _each(self, name: str, items: Sequence[Any], given: Sequence[Any]) -> Outcomes:
        """Not repeated when the outcome is unknown: what was done already would look refused."""
        if not items:
            return Outcomes()
        answer = await self._caller.request(name, json=items, idempotent=False)
        return outcomes(answer.json(), given)


def _link(given: Link | tuple[str, str, str]) -> Link:
    if isinstance(given, Link):
        return given
    try:
        source, relation, target = given
    except (TypeError, ValueError):
        raise ConfigError(f"a link is (source URI, relation, target URI), not {given!r}") from None
    return Link(
        source_uri=fields.file_uri(source),
        relation=fields.name(relation, "relation"),
        target_uri=fields.file_uri(target),
    )


def _shares(uri: str | Sequence[str], users: str | Sequence[str], action: str) -> list[Share]:
    names = [fields.user(one) for one in ([users] if isinstance(users, str) else users)]
    if not names:
        raise ConfigError("users: a share is with at least one")
    allowed = fields.action(action)
    uris = [uri] if isinstance(uri, str) else uri
    return [Share(file_uri=fields.file_uri(one), users=names, action=allowed) for one in uris]
