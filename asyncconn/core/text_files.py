"""Files as lines of text: gzip, encoding and line ends are seen from the beginning, and every fault has its line."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

__all__ = [
    "BEGINNING",
    "Look",
    "Problem",
    "check_delimiter",
    "check_encoding",
    "find_delimiter",
    "header_problem",
    "look_at",
    "separator_line",
    "text",
    "text_in_pieces",
]

#: Bytes of a file that are looked at.
BEGINNING = 64 * 1024
_CHUNK = 64 * 1024
_GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE).fullmatch  # what Excel reads, and some tools write
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}
_WORDS: dict[str | None, str] = {"\t": "tabs"}
_CANDIDATES = (",", ";", "\t", "|")
_LOOKED_AT = 50  # records
# Of Python's own: they are no character sets.
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"})
_NAMES = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and on which line."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Look:
    """How a file is to be read, and its ``beginning`` as text (``cut`` if there is more)."""

    gzipped: bool
    encoding: str
    newline: str
    beginning: str
    cut: bool

    @property
    def encoding_name(self) -> str:
        """As people write it."""
        return _NAMES.get(self.encoding, self.encoding)

    def told(self, delimiter: str | None = None) -> str:
        """What a user should hear of it, such as ``UTF-16, columns separated by ';'``; empty for an ordinary file."""
        words = [
            "gzip" if self.gzipped else "",
            "" if self.encoding == "utf-8" else self.encoding_name,
            "" if delimiter in (None, ",") else f"columns separated by {_WORDS.get(delimiter, repr(delimiter))}",
        ]
        return ", ".join(word for word in words if word)


def look_at(stream: BinaryIO, encoding: str | None = None) -> Look:
    """How ``stream``, which can go back to its beginning, is to be read; an ``encoding`` that is given counts."""
    stream.seek(0)
    gzipped = stream.read(2) == _GZIP
    stream.seek(0)
    beginning = bytearray()
    try:
        for chunk in _chunks(_plain(stream, gzipped=gzipped)):
            beginning += chunk
            if len(beginning) > BEGINNING:
                break
    except (EOFError, OSError, zlib.error):
        pass  # whoever reads it all will say so
    stream.seek(0)
    cut = len(beginning) > BEGINNING
    data = bytes(beginning[:BEGINNING])
    name = encoding or _marked(data) or "utf-8"
    found = codecs.getincrementaldecoder(name)("replace").decode(data).removeprefix("\ufeff")
    return Look(gzipped, name, "\r" if "\r" in found and "\n" not in found else "\n", found, cut)


def _marked(data: bytes) -> str | None:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    # UTF-16 without a mark: of ordinary text every other byte is zero.
    half = len(data) // 2
    if half and data[1::2].count(0) > 0.7 * half:
        return "utf-16-le"
    return "utf-16-be" if half and data[::2].count(0) > 0.7 * half else None


def check_encoding(name: str) -> str:
    """The encoding by Python's name for it. Raises ``ConfigError`` when there is no such one."""
    try:
        found = codecs.lookup(name).name
        if found.replace("-", "_") in _NO_CHARSETS:
            raise LookupError(name)
        codecs.getincrementaldecoder(found)
        if "a\n".encode(found).decode(found).removeprefix("\ufeff") == "a\n":
            return found
    except (LookupError, ValueError):
        pass
    raise ConfigError(f"there is no encoding {name!r}: such as utf-8, utf-16, cp1252, iso-8859-1")


def text(stream: BinaryIO, look: Look) -> Iterator[str | Problem]:
    """The lines of ``stream``, or the Problem of a line that is not in its encoding; where that is the end, the last.

    The mark at the beginning is left out. Line ends are as they were.
    """
    lines = _lines(stream, look)
    # Of what has other line ends than ASCII, whole pieces are decoded before they are cut into lines.
    encoding = look.encoding if _is_narrow(look.encoding) else "utf-8"
    number = at = 0
    while True:
        try:
            raw = next(lines, None)
        except UnicodeDecodeError as error:
            yield Problem(number + 1, _undecodable(look, 0, error.start, error.reason))
            return
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            yield _damaged(number + 1, error)
            return
        if raw is None:
            return
        number += 1
        start, at = at, at + len(raw)
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            yield Problem(number, _undecodable(look, raw[error.start], start + error.start, error.reason))
            continue
        yield line.removeprefix("\ufeff") if number == 1 else line


def text_in_pieces(stream: BinaryIO, look: Look) -> Iterator[str | Problem]:
    """As :func:`text`, in pieces that end anywhere, with ``\\n`` for an old line end; a Problem is always the last."""
    decoder = codecs.getincrementaldecoder(look.encoding)()
    line, at, first = 1, 0, True
    try:
        for chunk in chain(_chunks(_plain(stream, gzipped=look.gzipped)), [b""]):
            held = len(decoder.getstate()[0])  # bytes of a character that the chunk before has cut
            wrong = ""
            try:
                piece = decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                piece = decoder.decode(chunk[: error.start - held]) if error.start > held else ""
                wrong = _undecodable(look, error.object[error.start], error.start - held + at, error.reason)
            if look.newline == "\r":
                piece = piece.replace("\r", "\n")
            line += piece.count("\n")
            yield piece.removeprefix("\ufeff") if first else piece
            if wrong:
                yield Problem(line, wrong)
                return
            at, first = at + len(chunk), first and not piece
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield _damaged(line, error)


def _undecodable(look: Look, byte: int, place: int, reason: str) -> str:
    what = f"byte 0x{byte:02x}" if _is_narrow(look.encoding) else reason
    return f"not {look.encoding_name}: {what} at byte {place} of the file"


def _damaged(line: int, error: Exception) -> Problem:
    if isinstance(error, EOFError):
        return Problem(line, "the gzip file is cut off here")
    return Problem(line, f"the gzip file is damaged: {error}")


def _is_narrow(encoding: str) -> bool:
    return "\r\n".encode(encoding) == b"\r\n"


def _plain(stream: BinaryIO, *, gzipped: bool) -> io.BufferedIOBase | BinaryIO:
    return gzip.GzipFile(fileobj=stream, mode="rb") if gzipped else stream


def _chunks(stream: io.BufferedIOBase | BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _lines(stream: BinaryIO, look: Look) -> Iterator[bytes]:
    plain = _plain(stream, gzipped=look.gzipped)
    if not _is_narrow(look.encoding):
        return _split(_recoded(_chunks(plain), look.encoding), look.newline.encode())
    if look.newline == "\r":
        return _split(_chunks(plain), b"\r")
    return iter(plain)


def _recoded(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same in UTF-8. Raises ``UnicodeDecodeError`` whose ``start`` is counted from the file's beginning."""
    decoder = codecs.getincrementaldecoder(encoding)()
    at = 0
    for chunk in chain(chunks, [b""]):
        held = len(decoder.getstate()[0])  # bytes of a character that the chunk before has cut
        try:
            yield decoder.decode(chunk, not chunk).encode("utf-8")
        except UnicodeDecodeError as error:
            good = chunk[: error.start - held]
            if good:
                yield decoder.decode(good).encode("utf-8")
            error.start, error.end = error.start + at - held, error.end + at - held
            raise
        at += len(chunk)


def _split(chunks: Iterable[bytes], mark: bytes) -> Iterator[bytes]:
    held: list[bytes] = []
    for chunk in chunks:
        *whole, rest = chunk.split(mark)
        for piece in whole:
            yield b"".join([*held, piece, mark])
            held.clear()
        held.append(rest)
    if last := b"".join(held):
        yield last


# -- delimiters --------------------------------------------------------------------------------------------------------


def check_delimiter(text: str) -> str:
    """The one character that a user means; ``tab`` and ``\\t`` are the tab. Raises ``ConfigError``."""
    found = _DELIMITERS.get(text.lower(), text)
    if len(found) != 1 or found in '"\r\n\0' or found.isalnum():
        raise ConfigError(f"a delimiter is one character such as ; or the word tab, not {text!r}")
    return found


def separator_line(line: str) -> str | None:
    """The delimiter that a first line ``sep=;`` names; None if it is another line."""
    found = _SEPARATOR(line)
    return found[1] if found else None


def find_delimiter(look: Look) -> str:
    """Of comma, semicolon, tab and bar the one that gives the first records equally many columns, and most of them."""
    lines = [f"{line}{look.newline}" for line in look.beginning.split(look.newline)]
    if lines and (named := separator_line(lines[0])):
        return named
    best, most = ",", (False, 1)
    for candidate in _CANDIDATES:
        widths = _widths(lines, candidate, cut=look.cut)
        if not widths or widths[0] < 2:
            continue
        rank = (len({*widths}) == 1, widths[0])
        if rank > most:
            best, most = candidate, rank
    return best


def _widths(lines: list[str], delimiter: str, *, cut: bool) -> list[int]:
    """The columns of the first records."""
    widths: list[int] = []
    try:
        for values in csv_reader(lines, delimiter=delimiter):
            if values:
                widths.append(len(values))
            if len(widths) > _LOOKED_AT:
                break
    except CsvError:
        return widths
    return widths[:-1] if cut and len(widths) > 1 else widths  # the last may be half a record


def header_problem(header: list[str]) -> str | None:
    """What is wrong with the names of the columns; None if nothing is."""
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if not name.strip():
            return f"column {number} has no name"
        if "\0" in name:
            return f"the name of column {number} holds a NUL: is the encoding another one, such as utf-16?"
        if name in seen:
            return f"two columns are named {name!r}"
        seen.add(name)
    return None if header else "the header is an empty line"
