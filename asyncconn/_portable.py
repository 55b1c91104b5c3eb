"""What every error of ours can do beside being raised: change its message, be copied, travel to another process."""

from __future__ import annotations

import copy
import io
import pickle
import reprlib
from typing import Any, Self

__all__ = ["PortableError", "printable"]

_PLAIN = (str, int, float, bool, type(None))
_SHORT = reprlib.Repr()  # for what cannot travel
_SHORT.maxstring = _SHORT.maxother = 200


def printable(value: Any) -> Any:
    """A text with half characters (lone surrogates, as of bytes that are none) escaped; everything else as it is.

    They come with what a server or a file system says, and no terminal, log or file takes them.
    """
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


class PortableError(Exception):
    """An exception with one text, that survives :mod:`pickle` and :mod:`copy` whatever its constructor takes.

    The constructor is not called again: class, arguments, fields, notes and cause are carried over. A field (of a list
    or mapping: a member) that cannot be pickled here, or not be unpickled there, arrives as its text, and such a cause
    as a note: an error that cannot be unpickled would break a whole process pool.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*map(printable, args))

    @property
    def message(self) -> str:
        """What happened, in words. It may be set: ``str``, ``repr`` and ``args`` then say the same."""
        first = self.args[0] if self.args else ""
        return first if isinstance(first, str) else str(first)

    @message.setter
    def message(self, text: str) -> None:
        self.args = (printable(text), *self.args[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: _packed(value) for name, value in vars(self).items()}
        args = [_packed(value) for value in self.args]
        return _unpacked, (type(self), args, fields, _packed(self.__cause__), self.__suppress_context__)

    def __copy__(self) -> Self:
        return self._like(self.args, dict(vars(self)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        def deep(value: Any) -> Any:
            try:
                return copy.deepcopy(value, memo)
            except Exception:  # noqa: BLE001 - a stranger's value that refuses: better shared than no copy
                return value

        return self._like(tuple(map(deep, self.args)), {name: deep(value) for name, value in vars(self).items()})

    def _like(self, args: tuple[Any, ...], fields: dict[str, Any]) -> Self:
        made: Self = _made(type(self), args, fields)
        made.__context__, made.__cause__ = self.__context__, self.__cause__
        made.__suppress_context__ = self.__suppress_context__
        return made.with_traceback(self.__traceback__)


def _made(kind: type[Any], args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    """An error of a kind, without its constructor: that may take, and do, anything."""
    error: Any = kind.__new__(kind)  # type: ignore[call-overload] # of an exception class, not of type itself
    error.args = args
    vars(error).update(fields)
    return error


class _Packed:
    """A value as bytes, and as the text that stands for it where they cannot be read."""

    __slots__ = ("data", "text")

    def __init__(self, data: bytes, text: str) -> None:
        self.data = data
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return _Packed, (self.data, self.text)


def _packed(value: Any) -> Any:
    """The value, ready to travel: pickled by itself, so that one that fails, here or there, fails alone."""
    packed = _whole(value)
    if isinstance(packed, str) and isinstance(value, dict):
        return {key if isinstance(key, str | int) else _text(key): _whole(member) for key, member in value.items()}
    if isinstance(packed, str) and isinstance(value, list | tuple):
        return [_whole(member) for member in value]
    return packed


class _Pickler(pickle.Pickler):
    """Takes our errors as they are.

    Who installs another way for all errors (as Dask does, with tracebacks) packs the cause beside us: twice for each
    error of a chain, and so a thousand times for ten.
    """

    def reducer_override(self, obj: Any) -> Any:
        return obj.__reduce__() if isinstance(obj, PortableError) else NotImplemented


def _whole(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    try:
        packed = io.BytesIO()
        _Pickler(packed).dump(value)
        return _Packed(packed.getvalue(), _text(value))
    except Exception:  # noqa: BLE001 - whatever a stranger's value raises, it is told as text
        return _text(value)


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _opened(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_opened(member) for member in value]
    if not isinstance(value, _Packed):
        return value
    try:
        return pickle.loads(value.data)  # noqa: S301 - inside of a pickle that is being read already
    except Exception:  # noqa: BLE001 - as above: a class that is not there, a constructor that wants more
        return value.text


def _text(value: Any) -> str:
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else _SHORT.repr(value)
    except Exception:  # noqa: BLE001 - a repr of a stranger's
        return f"<{type(value).__name__}>"


def _unpacked(kind: type[Any], args: list[Any], fields: dict[str, Any], cause: Any, suppressed: bool) -> Any:
    error = _made(kind, tuple(map(_opened, args)), {name: _opened(value) for name, value in fields.items()})
    found = _opened(cause)
    if isinstance(found, BaseException):
        error.__cause__ = found
    elif found is not None:
        error.add_note(f"caused by {found}")
    error.__suppress_context__ = suppressed
    return error
