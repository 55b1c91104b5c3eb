"""The rules of the data lake's fields, and the refusals they lead to.

Contract: tcup sections 1.6 and 6.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from asyncconn.sandbox.tcup.voice import Refused

__all__ = [
    "Invalid",
    "Meta",
    "broken",
    "checked_directory",
    "checked_filename",
    "checked_metadata",
    "checked_pair",
    "checked_savepoint",
    "checked_user",
    "invalid",
    "is_url",
    "permission",
]

Privacy = Literal["public", "private"]

_MOST_PAIRS = 1000
_NOT_IN_NAMES = frozenset('%/<>:"\\|?*')
_NOT_IN_DIRECTORIES = frozenset("#%&{}\\<>*?$!'\":@+=|`")
_NOT_IN_VALUES = frozenset("*,'\"=&!")
_LEVEL = re.compile(r"[\w.:-]*[A-Za-z][\w.:-]*", re.ASCII)
_KEY = re.compile(r"(?:(public|private)@)?(\w{3,255})", re.ASCII)
_USER = re.compile(r"[\w.-]+(?:@[\w-]+(?:\.[\w-]+)+)?", re.ASCII)


class Invalid(Refused):
    """Becomes an error answer that lists what is wrong, where others are a line of text."""

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(400, str(items[0]["messages"][0]))
        self.items = items


def broken(message: str) -> Invalid:
    """A rule that the request as a whole breaks."""
    return Invalid([{"messages": [message]}])


def invalid(key: str, value: str, *messages: str) -> Invalid:
    """A field with a value that it cannot have; ``key`` is in lower case with hyphens."""
    return Invalid([{"key": key, "value": value, "messages": list(messages)}])


@dataclass(frozen=True, slots=True)
class Meta:
    """One pair of metadata, and whose it is."""

    name: str
    value: str
    privacy: Privacy
    updated_by: str


def is_url(text: str) -> bool:
    """Whether it is an address outside of the lake."""
    return "://" in text and bool(urlsplit(text).netloc)


def checked_filename(name: str) -> str:
    """Raises :class:`Invalid` for a name that no file may have."""
    problems = []
    if not 1 <= len(name) <= 255:
        problems.append("file name must have 1 to 255 characters")
    if not is_url(name) and _NOT_IN_NAMES & set(name):
        problems.append('file name must hold none of % / < > : " \\ | ? *')
    if problems:
        raise invalid("filename", name, *problems)
    return name


def checked_savepoint(text: str | None) -> str | None:
    """Without slashes at its ends; None for none."""
    savepoint = (text or "").strip("/")
    if not savepoint:
        return None
    levels = savepoint.split("/")
    problems = []
    if len(savepoint) > 50:
        problems.append("savepoint must have at most 50 characters")
    if len(levels) > 10:
        problems.append("savepoint must have at most 10 levels")
    if not all(_LEVEL.fullmatch(level) for level in levels):
        problems.append("each level of a savepoint has word characters, '-', '.', ':' and at least one letter")
    if problems:
        raise invalid("savepoint", savepoint, *problems)
    return savepoint


def checked_directory(text: str | None) -> str | None:
    """With a slash before it; None for none."""
    if not text:
        return None
    path = text if text.startswith("/") else f"/{text}"
    problems = []
    if len(path) > 1024 or any(len(level) > 255 for level in path.split("/")):
        problems.append("directory must have at most 255 characters a level and 1024 in all")
    if _NOT_IN_DIRECTORIES & set(path):
        problems.append("directory holds a character that it must not")
    if "//" in path:
        problems.append("directory must not hold //")
    if problems:
        raise invalid("directory", text, *problems)
    return path.rstrip("/") or "/"


def checked_metadata(text: str, user: str) -> dict[str, Meta]:
    """``k=v,k=v`` by key in lower case; ``user`` is who gave it."""
    if not text.strip():
        return {}
    pairs = text.split(",")
    if len(pairs) > _MOST_PAIRS:
        raise broken(f"metadata must have at most {_MOST_PAIRS} pairs")
    found: dict[str, Meta] = {}
    for pair in pairs:
        key, separator, value = pair.strip().partition("=")
        if not separator:
            raise broken(f"metadata must be key=value, not {pair.strip()!r}")
        meta = checked_pair(key, value, user)
        if meta.name.lower() in found:
            raise broken(f"metadata key {meta.name} is there twice")
        found[meta.name.lower()] = meta
    return found


def checked_pair(key: str, value: str, user: str) -> Meta:
    """One pair, ``public@`` or ``private@`` taken off its key."""
    match = _KEY.fullmatch(key)
    if match is None:
        short = len(key.rpartition("@")[2]) < 3
        raise broken("metadata key is too short" if short else "metadata key must be 3 to 255 word characters")
    if not 1 <= len(value) <= 255:
        raise broken("metadata value must have 1 to 255 characters")
    if _NOT_IN_VALUES & set(value):
        raise broken("metadata value must hold none of * , ' \" = & !")
    if value == match[2]:
        raise broken("metadata value must differ from its key")
    return Meta(match[2], value, "private" if match[1] == "private" else "public", user)


def checked_user(name: object) -> str:
    """The name of a user of the lake."""
    if not isinstance(name, str) or len(name) > 50 or _USER.fullmatch(name) is None:
        raise invalid("dls-user", str(name), "user name must be a word or an e-mail address of at most 50 characters")
    return name


def permission(action: object) -> str:
    """Some of R, W, D in that order."""
    if not isinstance(action, str) or not action or re.fullmatch("R?W?D?", action) is None:
        raise invalid("action", str(action), "action must be some of R, W, D in that order")
    return action
