"""What never reaches a log, an exception or an event: credentials, wherever they turn up."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from asyncconn.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncconn.core.secret import Concealed

__all__ = ["EXCERPT", "Redactor", "UnshownBytes", "UnshownText", "unprinted", "unshown"]

T = TypeVar("T")

MASK = "***"
EXCERPT = 2_000  # characters of an answer that an error may carry

_quiet: dict[type, type] = {}
_NAMES = {"&": ("amp",), "<": ("lt",), ">": ("gt",), '"': ("quot",), "'": ("apos",)}
_LONGEST = 3  # times its length, a secret as it is written: most of its characters are digits and letters
_SHORTEST = 4  # shorter "secrets" would blank out ordinary words


class UnshownText(str):
    """A text on its way to the wire whose ``repr`` is masked: tracebacks with locals and debug logs show that.

    >>> {"Authorization": UnshownText("Bearer t0ken")}
    {'Authorization': '***'}
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __getitem__(self, key: SupportsIndex | slice) -> UnshownText:
        return UnshownText(super().__getitem__(key))  # the start of a long text, as some printers cut it


class UnshownBytes(bytes):
    """A body with credentials in it: its ``repr`` is its size."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def unprinted(it: T) -> T:
    """A library's object as it is, but for its ``repr``: that of an answer quotes its URL and headers."""
    kind = type(it)
    try:  # noqa: SIM105 - on the way of every answer
        it.__class__ = _quiet.get(kind) or _quiet.setdefault(
            kind, type(kind.__name__, (kind,), {"__slots__": (), "__repr__": object.__repr__})
        )
    except TypeError:
        pass  # a class that cannot be inherited from, or is laid out differently: it stays what it is
    return it


def unshown(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers with credentials, their values masked wherever the mapping is printed; what is no text stays none."""
    return {
        name: UnshownText(value) if isinstance(value, str) else UnshownBytes(value) if type(value) is bytes else value
        for name, value in headers.items()
    }


def _ways(char: str) -> list[str]:
    """How a character may be written in a URL, in JSON and in HTML: encoders differ in what they take for dangerous."""
    if char.isascii() and char.isalnum():
        return [char]
    units = char.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    percent = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    names = [f"&{name};" for name in _NAMES.get(char, ())]
    ways = [
        percent,
        escaped,
        f"&#{ord(char)};",
        f"&#x{ord(char):x};",
        *names,
        json.dumps(char)[1:-1],
        f"\\{char}",
        char,
    ]
    return [*ways, "+"] if char == " " else ways


def _any_of(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"(?i:{'|'.join(map(re.escape, ways))})"


def _in_base64(plain: str) -> str:
    return base64.b64encode(plain.encode("utf-8", "surrogatepass")).decode().rstrip("=")


class Redactor:
    """Replaces known secrets in texts, also where they stand percent-encoded, in Base64, or escaped in JSON or HTML.

    >>> Redactor([Secret("s3cret/x")]).scrub("key=s3cret%2Fx")
    'key=***'
    """

    def __init__(self, secrets: Iterable[Concealed] = ()) -> None:
        plain = {value.get_secret_value() for value in secrets}
        # The longest first, or a secret inside another would leave the rest of the other standing.
        self._plain = sorted((one for one in plain if len(one) >= _SHORTEST), key=len, reverse=True)

    @cached_property
    def _secrets(self) -> re.Pattern[str]:
        """Made when the first text is looked at: few clients ever have one."""
        written = ["".join(_any_of(_ways(char)) for char in one) for one in self._plain]
        return re.compile("|".join([*written, *(re.escape(_in_base64(one)) for one in self._plain)]))

    def scrub(self, text: Any) -> str:
        """``text`` without the secrets; what is no text (an error of an answer may be an object) as its JSON."""
        said: str = text if isinstance(text, str) else _written(text)
        return self._secrets.sub(MASK, said) if self._plain else said

    def excerpt(self, body: bytes) -> str:
        """The start of an answer as text, without the secrets."""
        # Scrub before cutting: half a secret is still half a secret.
        part = body[: EXCERPT * 4]
        text = self.scrub(part.decode("utf-8", "replace"))
        if len(part) < len(body) and self._plain:
            text = text[: -_LONGEST * len(self._plain[0])]  # here the first cut may have left a half
        return text[:EXCERPT]

    def clean(self, error: BaseException) -> None:
        """Take the secrets out of an error as it is: its words, fields and notes, and those of all its causes.

        A cause that shows one nevertheless is cut off; a note says so.
        """
        if self._plain:
            self._clean(error, set())

    def _clean(self, error: BaseException, seen: set[int]) -> None:
        if id(error) in seen:
            return
        seen.add(id(error))
        args = tuple(self._cleaned(value, seen) for value in error.args)
        if any(new is not old for new, old in zip(args, error.args, strict=True)):
            error.args = args
        for name, value in list(vars(error).items()):
            vars(error)[name] = self._cleaned(value, seen)
        if isinstance(error, UnicodeDecodeError):
            error.object = self._cleaned(error.object, seen)
        for name in ("__cause__", "__context__"):
            before: BaseException | None = getattr(error, name)
            if before is not None:
                self._clean(before, seen)
                if self._shows(before):
                    setattr(error, name, None)
                    error.add_note(f"its cause, {type(before).__name__}, showed a credential and is left out")

    def _cleaned(self, value: Any, seen: set[int]) -> Any:
        """The value itself where nothing is to be hidden in it."""
        if isinstance(value, BaseException):
            self._clean(value, seen)
        if value is None or isinstance(value, bool | int | float | Secret):
            return value
        if type(value) is str:
            return self.scrub(value)
        if not self._shows(value):
            return value
        if isinstance(value, bytes):
            return self.scrub(value.decode("utf-8", "replace")).encode()
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(self._cleaned(member, seen) for member in value)
        if type(value) is dict:
            return {self._cleaned(key, seen): self._cleaned(member, seen) for key, member in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return _replaced(value, lambda member: self._cleaned(member, seen))
        return MASK

    def _shows(self, value: Any) -> bool:
        """Whether a secret can be read in what it prints. What cannot be printed counts as if it did."""
        try:
            text = f"{value!r}" if isinstance(value, list | tuple | dict | set | frozenset) else f"{value!r}{value!s}"
        except Exception:  # noqa: BLE001 - a stranger's repr
            return True
        return bool(self._plain) and self._secrets.search(text) is not None

    def __repr__(self) -> str:
        number = len(self._plain)
        return f"<Redactor of {number} secret{'' if number == 1 else 's'}>"


def _replaced(value: Any, clean: Any) -> Any:
    try:
        return dataclasses.replace(
            value, **{field.name: clean(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    except Exception:  # noqa: BLE001 - one with fields that are not given, or a check of its own
        return MASK


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
