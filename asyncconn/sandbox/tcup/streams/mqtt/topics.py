"""MQTT's topics and filters, and how they travel through the topic exchange: ``/`` is ``.`` there.

So ``a.b`` and ``a/b`` are one topic here, and it comes out as ``a/b``. Contract: tcup section 5.2.
"""

from __future__ import annotations

__all__ = ["is_filter", "key_of", "levels_of", "matches", "topic_of"]


def is_filter(text: str) -> bool:
    """Whether the protocol allows it: a wildcard has its level alone, ``#`` the last one.

    >>> [is_filter(text) for text in ("a/+/#", "#", "a+", "#/a", "")]
    [True, True, False, False, False]
    """
    *others, last = text.split("/")
    return (
        bool(text)
        and all(level in ("+", "#") or not set(level) & {"+", "#"} for level in (*others, last))
        and "#" not in others
    )


def key_of(topic: str) -> str:
    """The routing key that a topic becomes."""
    return topic.replace("/", ".")


def topic_of(key: str) -> str:
    """The topic that a routing key becomes."""
    return key.replace(".", "/")


def levels_of(filter_: str) -> list[str]:
    """A filter as the exchange knows it, ready for :func:`matches`; ``*`` is its word for ``+``."""
    return ["+" if level == "*" else level for level in topic_of(filter_).split("/")]


def matches(levels: list[str], topic: str) -> bool:
    """Whether a filter picks a topic; a wildcard at its beginning picks none that begins with ``$``.

    >>> [matches(levels_of("a/#"), topic) for topic in ("a", "a/b/c", "b")]
    [True, True, False]
    """
    if topic.startswith("$") and levels[0] in ("+", "#"):
        return False
    words = topic.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place == len(words) or level not in ("+", words[place]):
            return False
    return len(levels) == len(words)
