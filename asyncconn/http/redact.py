"""What never reaches a log, an exception or an event: credentials, wherever they turn up."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar
from urllib.parse import quote, quote_plus

from asyncconn.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncconn.core.secret import Concealed

__all__ = ["EXCERPT", "Redactor", "UnshownBytes", "UnshownText", "unprinted", "unshown"]

T = TypeVar("T")

MASK = "***"
EXCERPT = 2_000  # characters of an answer that an error may carry

_quiet: dict[type, type] = {}
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


class Redactor:
    """Replaces known secrets in texts, also where they stand percent-encoded, in Base64, or escaped in JSON or HTML.

    >>> Redactor([Secret("s3cret/x")]).scrub("key=s3cret%2Fx")
    'key=***'
    """

    def __init__(self, secrets: Iterable[Concealed] = ()) -> None:
        from html import escape  # its tables are large, and most of a program's start needs none of it

        forms: set[str] = set()
        for value in secrets:
            plain = value.get_secret_value()
            if len(plain) >= _SHORTEST:
                forms |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain), escape(plain)}
                quoted = json.dumps(plain)[1:-1]
                forms |= {quoted, quoted.replace("/", "\\/"), json.dumps(plain, ensure_ascii=False)[1:-1]}
                forms.add(quoted.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
                forms.add(base64.b64encode(plain.encode()).decode().rstrip("="))
        # The longest first, or a secret inside another would leave the rest of the other standing.
        self._forms = sorted(forms, key=len, reverse=True)

    def scrub(self, text: Any) -> str:
        """``text`` without the secrets; what is no text (an error of an answer may be an object) as its JSON."""
        said: str = text if isinstance(text, str) else _written(text)
        for form in self._forms:
            if form in said:
                said = said.replace(form, MASK)
        return said

    def excerpt(self, body: bytes) -> str:
        """The start of an answer as text, without the secrets."""
        # Scrub before cutting: half a secret is still half a secret.
        part = body[: EXCERPT * 4]
        text = self.scrub(part.decode("utf-8", "replace"))
        if len(part) < len(body) and self._forms:
            text = text[: -len(self._forms[0])]  # here the first cut may have left a half
        return text[:EXCERPT]

    def clean(self, error: BaseException) -> None:
        """Take the secrets out of an error as it is: its words, fields and notes, and those of all its causes.

        A cause that shows one nevertheless is cut off; a note says so.
        """
        if self._forms:
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
        return any(form in text for form in self._forms)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._forms)} forms>"


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
