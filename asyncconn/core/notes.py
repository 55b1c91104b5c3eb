"""Errors with their notes in one line: a traceback shows notes, ``str`` does not."""

from __future__ import annotations

__all__ = ["with_notes"]


def with_notes(error: BaseException) -> str:
    """The text of an error, and in brackets what was added to it later; for logs and terminals.

    >>> error = ValueError("no such structure")
    >>> error.add_note("path table: structures.get")
    >>> with_notes(error)
    'no such structure [path table: structures.get]'
    """
    return " ".join([str(error), *(f"[{note}]" for note in getattr(error, "__notes__", ()))])
