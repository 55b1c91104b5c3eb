"""The bytes of an answer as text or JSON: in the encoding that it says, or shows, with every digit of an integer."""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn, TypeAlias

import orjson

__all__ = ["Json", "charset_of", "is_utf8", "json_of", "text_of"]

#: What a platform answers where nobody says in which shape.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^\s;"',]+)""", re.IGNORECASE)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Of Python's own: they are no character sets, and some are slow.
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"})

# orjson reads an integer below -2**63 or above 2**64 - 1 as a float. With its sign, such a one has 20 characters or
# more: looking for a run of these costs little beside the reading itself.
_MARKED = bytes(ord("0") if chr(byte) in "-0123456789" else 0 for byte in range(256))
_LONG = b"0" * 20
_RUN = re.compile(rb"[-0-9]+").match
_INTEGER = re.compile(rb"(?:\A|(?<=[\s:,\[]))-?[0-9]+(?![-0-9.eE])").match


def is_utf8(body: bytes, content_type: str = "") -> bool:
    """Whether :func:`text_of` would read ``body`` as UTF-8, without a mark at its beginning."""
    return _marked(body) is None and charset_of(content_type) in (None, "utf-8", "ascii")


def text_of(body: bytes, content_type: str = "") -> str:
    """``body`` as text: by its byte order mark, else the charset of ``content_type``, else UTF-8.

    What is not in that encoding is replaced.
    """
    encoding = _marked(body) or charset_of(content_type) or "utf-8"
    try:
        return body.decode(encoding, "replace")
    except (LookupError, UnicodeError):  # one of Python's own codecs, such as rot13
        return body.decode("utf-8", "replace")


def json_of(body: bytes, content_type: str = "") -> Any:
    """``body`` as JSON: UTF-8 as the standard says, else what :func:`text_of` goes by, or UTF-16 without a mark.

    Integers are exact, whatever their size; other numbers are floats. Raises ``ValueError``, which holds nothing of the
    body, also for an integer of more than 4,300 digits.
    """
    try:
        return _read(body)
    except (ValueError, RecursionError):
        pass
    encoding = _marked(body) or charset_of(content_type) or json.detect_encoding(body)
    try:
        return _read(body.decode(encoding).encode())
    except (LookupError, ValueError, RecursionError):
        pass
    raise ValueError("not JSON")


def _read(body: bytes) -> Any:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        if not _has_long_integer(body):  # one of more than 308 digits is too large for a float, too
            raise
    else:
        if body.translate(_MARKED).find(_LONG) < 0 or not _has_long_integer(body):
            return found
    return _DECODER.decode(body.decode())


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(text)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _has_long_integer(body: bytes) -> bool:
    """Whether a number without point and exponent may be too large for orjson; in a text it is none."""
    marks = body.translate(_MARKED)
    at = marks.find(_LONG)
    while at >= 0:
        if _INTEGER(body, at):
            return True
        run = _RUN(body, at)
        at = marks.find(_LONG, run.end() if run else at + 1)
    return False


def _marked(body: bytes) -> str | None:
    return next((name for mark, name in _BOMS if body.startswith(mark)), None)


def charset_of(content_type: str) -> str | None:
    """The name of the charset parameter, if Python knows it."""
    found = _CHARSET.search(content_type)
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1]).name
    except (LookupError, ValueError):
        return None
    return None if name.replace("-", "_") in _NO_CHARSETS else name
