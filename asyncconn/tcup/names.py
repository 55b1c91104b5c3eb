"""What names are made of: any text but what a terminal, a header or a file system takes for a command. Pure."""

from __future__ import annotations

import re

__all__ = ["is_plain"]

_STRANGE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


def is_plain(name: str) -> bool:
    """Whether there is something in it, and neither control characters nor halves of characters.

    >>> is_plain("Büro 9.30"), is_plain("a\\nb")
    (True, False)
    """
    return bool(name.strip()) and _STRANGE(name) is None
