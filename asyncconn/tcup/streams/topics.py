"""What a broker would break the connection for: looked at before. Contract: tcup section 5."""

from __future__ import annotations

from typing import Any

import orjson

from asyncconn.errors import ConfigError, InvalidRecord, RecordTooLarge

__all__ = ["encoded", "filter_checked", "topic_checked"]

_LONGEST = 65_535  # bytes


def topic_checked(topic: str) -> str:
    """A topic to publish to. Raises ``ConfigError``: for an empty one, wildcards, NUL, and what is too long."""
    _text(topic, "topic")
    if wild := [sign for sign in "+#" if sign in topic]:
        raise ConfigError(f"mqtt: {topic!r} has the wildcard {wild[0]}: one can subscribe to it, not publish")
    return topic


def filter_checked(topic: str) -> str:
    """A filter to subscribe to. Raises ``ConfigError`` as above, and for a wildcard beside something else."""
    _text(topic, "filter")
    levels = topic.split("/")
    if any("+" in level and level != "+" for level in levels):
        raise ConfigError(f"mqtt: {topic!r}: + stands for a whole level")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        raise ConfigError(f"mqtt: {topic!r}: # stands for all further levels, and is the last")
    return topic


def _text(topic: object, what: str) -> None:
    if not isinstance(topic, str) or not topic:
        raise ConfigError(f"mqtt: a {what} is a text that is not empty, not {topic!r}")
    if "\0" in topic:
        raise ConfigError(f"mqtt: a {what} has no NUL in it: {topic!r}")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"mqtt: a {what} is text that UTF-8 can write: {topic!r}") from error
    if size > _LONGEST:
        raise ConfigError(f"mqtt: a {what} has at most {_LONGEST:,} bytes, not {size:,}")


def encoded(document: Any, limit: int) -> bytes:
    """Bytes as they are, a text as UTF-8, anything else as JSON.

    Raises ``InvalidRecord`` for what is none, ``RecordTooLarge`` for more than ``limit`` bytes.
    """
    try:
        if isinstance(document, bytes | bytearray | memoryview):
            payload = bytes(document)
        else:
            payload = document.encode() if isinstance(document, str) else orjson.dumps(document)
    except (TypeError, UnicodeEncodeError) as error:  # orjson's own error is a TypeError
        raise InvalidRecord(f"it cannot be written as JSON: {error}") from error
    if len(payload) > limit:
        raise RecordTooLarge(
            f"a payload of {len(payload):,} bytes is over the limit of {limit:,}", size=len(payload), limit=limit
        )
    return payload
