"""Numbers in words, as people read them."""

from __future__ import annotations

__all__ = ["agreed", "count", "plain", "plural", "size"]


def count(number: int, noun: str) -> str:
    """``1 record``, ``2,000 records``, ``3 queries``, ``2 batches``."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The noun for none and for many, as far as it is regular."""
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def agreed(number: int, nouns: str) -> str:
    """Words that begin with a noun for many, as they are for so many.

    >>> agreed(1, "records"), agreed(1, "queries of today"), agreed(2, "batches")
    ('record', 'query of today', 'batches')
    """
    noun, blank, rest = nouns.partition(" ")
    if number == 1:
        noun = next((one for one in (f"{noun[:-3]}y", noun[:-2], noun[:-1]) if one and plural(one) == noun), noun)
    return f"{noun}{blank}{rest}"


def size(number: int) -> str:
    """Bytes as people read them.

    >>> size(1_234_567)
    '1.2 MB'
    """
    if number < 1_000:
        return count(number, "byte")
    power, unit = next(((p, u) for p, u in ((3, "kB"), (6, "MB")) if number < 10 ** (p + 3)), (9, "GB"))
    return f"{number / 10**power:.1f} {unit}"


def plain(text: str) -> str:
    """A stranger's text on one line, without what could move a terminal's cursor.

    >>> plain("50\\x1b[2J %")
    '50 [2J %'
    """
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
