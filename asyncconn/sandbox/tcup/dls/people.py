"""Users of the lake, what they share, and how files belong together.

Contract: tcup sections 6.6, 6.7, 13.1, 13.2 and 13.13.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.sandbox.tcup.dls.fields import broken, checked_user, invalid, permission
from asyncconn.sandbox.tcup.dls.lake import Link
from asyncconn.sandbox.tcup.tenants import DlsUser
from asyncconn.sandbox.tcup.voice import Refused, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.sandbox.exchange import Answer
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.dls.lake import Lake

__all__ = ["People", "each"]

T = TypeVar("T")

_NOT_FOUND = (409, "not found")
_EXISTS = (409, "already exists")


def each(
    ask: Ask,
    key: str,
    read: Callable[[dict[str, Any]], T],
    treat: Callable[[T], tuple[int, str]],
    says: str | None = None,
) -> Answer:
    """A list of things, each treated by itself: 207, an outcome each in their order.

    All of them are read before anything is done. ``key`` names what each is of, and is ``says`` in the outcome.
    """
    items = ask.json()
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise broken("the body must be a list of objects")
    values = [item.get(key) for item in items]
    for value in values:
        if not isinstance(value, str) or not value:
            raise invalid(key, str(value), f"{key} must be a text")
    things = [read(item) for item in items]
    return json_answer(
        [_outcome(says or key, value, *treat(thing)) for value, thing in zip(values, things, strict=True)], 207
    )


def _outcome(key: str, value: str, code: int, message: str) -> dict[str, Any]:
    """What became of one item."""
    return {"key": key, "value": value, "code": code, "messages": [message]}


class People:
    """Users, shares, links and relations."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def routes(self) -> Iterable[Route]:
        """Their calls."""
        return (
            ("GET", "/user", self._users),
            ("POST", "/user", self._add_users),
            ("GET", "/relation", self._relations),
            ("POST", "/relation", self._add_relations),
            ("DELETE", "/relation/{name}", self._remove_relation),
            ("GET", "/link", self._links),
            ("POST", "/link", self._link),
            ("DELETE", "/link", self._unlink),
            ("GET", "/share", self._shares),
            ("POST", "/share", self._share),
            ("DELETE", "/share", self._unshare),
        )

    # -- users ---------------------------------------------------------------------------------------------------------

    def _users(self, ask: Ask) -> Answer:
        self._lake.caller(ask)
        return json_answer(
            [
                {"user-name": user.name, "admin-user": str(user.admin).lower(), "org-pos": user.organisation}
                for user in self._lake.tenant.dls_users.values()
            ]
        )

    def _add_users(self, ask: Ask) -> Answer:
        self._lake.caller(ask, admin=True)
        return each(ask, "dls-user", _user_of, self._add_user)

    def _add_user(self, user: DlsUser) -> tuple[int, str]:
        users = self._lake.tenant.dls_users
        if user.name in users or self._lake.tenant.dls_user(user.key) is not None:
            return _EXISTS
        users[user.name] = user
        return 201, "created"

    # -- relations and links -------------------------------------------------------------------------------------------

    def _relations(self, ask: Ask) -> Answer:
        self._lake.caller(ask)
        return json_answer([{"name": name, "description": text} for name, text in self._lake.relations.items()])

    def _add_relations(self, ask: Ask) -> Answer:
        self._lake.caller(ask, admin=True)
        return each(ask, "name", _relation_of, self._add_relation, says="relation")

    def _add_relation(self, relation: tuple[str, str]) -> tuple[int, str]:
        name, description = relation
        if name in self._lake.relations:
            return _EXISTS
        self._lake.relations[name] = description
        return 201, "created"

    def _remove_relation(self, ask: Ask) -> Answer:
        self._lake.caller(ask, admin=True)
        if self._lake.relations.pop(ask.args["name"], None) is None:
            raise Refused(404, "relation not found")
        return text_answer("deleted")

    def _links(self, ask: Ask) -> Answer:
        uri = self._lake.asked(ask, self._lake.caller(ask)).uri
        return json_answer(
            [
                {"source-uri": link.source, "relation": link.relation, "target-uri": link.target}
                for link in self._lake.links
                if uri in (link.source, link.target)
            ]
        )

    def _link(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)

        def add(link: Link) -> tuple[int, str]:
            seen = all(self._sees(user, uri) for uri in (link.source, link.target))
            if not seen or link.relation not in self._lake.relations:
                return _NOT_FOUND
            if link in self._lake.links:
                return _EXISTS
            self._lake.links.append(link)
            return 201, "linked"

        return each(ask, "source-uri", _link_of, add)

    def _unlink(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)

        def remove(link: Link) -> tuple[int, str]:
            if link not in self._lake.links or not self._sees(user, link.source):
                return _NOT_FOUND
            self._lake.links.remove(link)
            return 205, "deleted"

        return each(ask, "source-uri", _link_of, remove)

    # -- shares --------------------------------------------------------------------------------------------------------

    def _shares(self, ask: Ask) -> Answer:
        file = self._lake.asked(ask, self._lake.caller(ask))
        return json_answer(
            [{"file-uri": file.uri, "users": [user], "action": action} for user, action in file.shares.items()]
        )

    def _share(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)

        def add(asked: tuple[str, set[str], str]) -> tuple[int, str]:
            uri, others, action = asked
            file = self._lake.files.get(uri)
            if file is None or file.owner != user.name or others - self._lake.tenant.dls_users.keys():
                return _NOT_FOUND
            known = others <= file.shares.keys()
            file.shares.update(dict.fromkeys(sorted(others), action))
            return (205, "updated") if known else (201, "shared")

        return each(ask, "file-uri", _share_of, add)

    def _unshare(self, ask: Ask) -> Answer:
        user = self._lake.caller(ask)

        def remove(asked: tuple[str, set[str]]) -> tuple[int, str]:
            uri, others = asked
            file = self._lake.files.get(uri)
            if file is None or file.owner != user.name or others - file.shares.keys():
                return _NOT_FOUND
            for other in others:
                del file.shares[other]
            return 205, "deleted"

        return each(ask, "file-uri", _sharers_of, remove)

    def _sees(self, user: DlsUser, uri: str) -> bool:
        file = self._lake.files.get(uri)
        return file is not None and bool(self._lake.action(file, user.name))


def _link_of(item: dict[str, Any]) -> Link:
    for key in ("relation", "target-uri"):
        if not isinstance(item.get(key), str):
            raise invalid(key, str(item.get(key)), f"{key} must be a text")
    return Link(item["source-uri"], item["relation"], item["target-uri"])


def _user_of(item: dict[str, Any]) -> DlsUser:
    key = item.get("dls-key") or str(uuid.uuid4())
    if not isinstance(key, str) or re.search(r"\s", key):
        raise invalid("dls-key", "", "dls-key must be a text without blanks")
    return DlsUser(checked_user(item["dls-user"]), key)


def _relation_of(item: dict[str, Any]) -> tuple[str, str]:
    return item["name"], str(item.get("description") or "")


def _sharers_of(item: dict[str, Any]) -> tuple[str, set[str]]:
    users = item.get("users")
    if not isinstance(users, list) or not users or not all(isinstance(user, str) for user in users):
        raise invalid("users", str(users), "users must be a list of names")
    return item["file-uri"], set(users)


def _share_of(item: dict[str, Any]) -> tuple[str, set[str], str]:
    return *_sharers_of(item), permission(item.get("action"))
