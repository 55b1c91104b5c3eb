"""What the data lake takes as a name: checked before anything is sent. Contract: tcup section 6.2."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from asyncconn.errors import ConfigError

__all__ = [
    "action",
    "directory",
    "file_uri",
    "filename",
    "metadata",
    "metadata_key",
    "metadata_value",
    "name",
    "savepoint",
    "user",
]

_NAME_MARKS = frozenset('%/<>:"\\|?*')
_DIRECTORY_MARKS = frozenset("#%&{}\\<>*?$!'\":@+=|`")
_VALUE_MARKS = frozenset("*,'\"=&!")
_LEVEL = re.compile(r"[\w.:-]*[A-Za-z][\w.:-]*", re.ASCII).fullmatch
_KEY = re.compile(r"(?:(?:public|private)@)?(\w{3,255})", re.ASCII).fullmatch
_USER = re.compile(r"[\w.+-]+(?:@[\w-]+(?:\.[\w-]+)*)?", re.ASCII).fullmatch
_ACTION = re.compile(r"(?=.)R?W?D?").fullmatch
_MOST_PAIRS = 1000


def filename(given: str) -> str:
    r"""A file's name: 1 to 255 characters, none of ``% / < > : " \ | ? *``, nothing unprintable, not ``.`` or ``..``.

    >>> filename("a, b.csv")
    'a, b.csv'
    """
    _text(given, "filename", 255)
    _without(given, _NAME_MARKS, "filename")
    if given.strip() in ("", ".", ".."):
        raise ConfigError(f"filename: {given!r} names no file")
    return given


def savepoint(given: str) -> str:
    """A savepoint without the slashes around it: 50 characters, 10 levels, a letter in each.

    >>> savepoint("/flights/2024-a/")
    'flights/2024-a'
    """
    text: Any = given
    trimmed = text.strip("/") if isinstance(text, str) else text
    _text(trimmed, "savepoint", 50)
    levels = trimmed.split("/")
    if len(levels) > 10:
        raise ConfigError(f"savepoint: at most 10 levels, not {len(levels)}")
    for level in levels:
        if not _LEVEL(level):
            raise ConfigError(
                f"savepoint: a level is of letters, digits, '_', '-', '.' and ':', a letter among them, not {level!r}"
            )
    return trimmed


def directory(given: str) -> str:
    """A directory's path, which begins with a slash: 1024 characters, 255 a level.

    >>> directory("d1/raw")
    '/d1/raw'
    """
    _text(given, "directory", 1024)
    path = given if given.startswith("/") else f"/{given}"
    _without(path, _DIRECTORY_MARKS, "directory")
    if len(path) > 1024 or "//" in path:
        raise ConfigError(f"directory: at most 1024 characters, no '//', not {given[:80]!r}")
    for level in path.split("/"):
        if len(level) > 255 or level in (".", ".."):
            raise ConfigError(f"directory: a level has at most 255 characters, and is not '.' or '..': {level[:80]!r}")
    return path


def metadata(given: Mapping[str, Any]) -> str:
    """Pairs as they are sent. A key may say ``public@`` or ``private@`` before its name.

    >>> metadata({"colour": "blue", "private@rows": 120})
    'colour=blue,private@rows=120'
    """
    pairs: Any = given
    if not isinstance(pairs, Mapping):
        raise ConfigError(f"metadata: a mapping from key to value, not {type(pairs).__name__}")
    if len(given) > _MOST_PAIRS:
        raise ConfigError(f"metadata: at most {_MOST_PAIRS} pairs, not {len(given)}")
    seen: set[str] = set()
    texts = []
    for key, value in given.items():
        bare = metadata_key(key)
        if bare.lower() in seen:
            raise ConfigError(f"metadata: {bare!r} is there twice (case does not count)")
        seen.add(bare.lower())
        text = metadata_value(value, bare)
        if text == bare:
            raise ConfigError(f"metadata {bare}: the value is the key itself")
        texts.append(f"{key}={text}")
    return ",".join(texts)


def metadata_key(given: Any) -> str:
    """The name of a key, without ``public@`` or ``private@``: 3 to 255 word characters."""
    found = _KEY(given) if isinstance(given, str) else None
    if found is None:
        raise ConfigError(
            f"metadata: a key has 3 to 255 word characters, after 'public@' or 'private@' at most, not {given!r}"
        )
    return found[1]


def metadata_value(given: Any, key: str) -> str:
    """A value as text: 1 to 255 characters without ``* , ' " = & !``; a number by its digits."""
    text = given
    if isinstance(given, bool):
        text = "true" if given else "false"
    elif isinstance(given, int) or (isinstance(given, float) and math.isfinite(given)):
        text = repr(given)
    _text(text, f"metadata {key}", 255)
    _without(text, _VALUE_MARKS, f"metadata {key}")
    return str(text)


def user(given: str) -> str:
    """A data lake user's name: 50 characters, a word or an e-mail address."""
    _text(given, "dls-user", 50)
    if not _USER(given):
        raise ConfigError(f"dls-user: a word or an e-mail address, not {given!r}")
    return given


def action(given: str, field: str = "action") -> str:
    """What somebody may do: some of ``R``, ``W``, ``D``, in that order."""
    word: object = given
    if not isinstance(word, str) or not _ACTION(word):
        raise ConfigError(f"{field}: some of 'R', 'W', 'D', in that order, not {given!r}")
    return given


def name(given: str, field: str) -> str:
    """The name of what has no rules for it: a text that is not blank, without control characters."""
    _text(given, field, 4096)
    if not given.strip():
        raise ConfigError(f"{field}: {given!r} is no name")
    return given


def file_uri(given: str) -> str:
    """A file's URI as the platform gave it: what is in it is the platform's matter."""
    _text(given, "file-uri", 4096)
    return given


def _text(given: Any, field: str, longest: int) -> None:
    if not isinstance(given, str):
        raise ConfigError(f"{field}: must be text, not {type(given).__name__}")
    if not 1 <= len(given) <= longest:
        raise ConfigError(f"{field}: 1 to {longest} characters, not {len(given)}")
    if strange := next((one for one in given if not one.isprintable()), None):
        raise ConfigError(f"{field}: holds the unprintable character {strange!r}")


def _without(given: str, marks: frozenset[str], field: str) -> None:
    if wrong := sorted(marks & set(given)):
        raise ConfigError(f"{field}: cannot hold {' '.join(wrong)}")
