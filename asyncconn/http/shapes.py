"""Answers as the types that a caller names: pydantic models, dataclasses, msgspec structs, and lists of these.

A wrong shape is told by its place and kind. No value is quoted: it is the platform's, and may be anything.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["readied", "shaped"]

_PLACE = re.compile(r"(?s:.*) - at `\$(.*)`").fullmatch
_KIND = re.compile(r"(Expected `[\w |]+`, got `[\w ]+`|Object missing required field `\w+`).*", re.DOTALL).fullmatch


class _Misfit(Exception):
    """What is wrong, and where."""


async def readied(model: Any) -> None:
    """Get ready to make ``model``: before anything is sent, and off the loop, as pydantic's first look is for files.

    Raises ``ConfigError`` for what is no type to make of an answer.
    """
    if model is None:
        return
    if _has_struct(model) or "pydantic.plugin._loader" in sys.modules:
        _making(model)
    else:
        await in_thread(_making, model)


def shaped(value: Any, model: Any, what: str, at: str = "$") -> Any:
    """``value`` as a ``model``; as it is if that is None. ``what`` names the call, ``at`` where the value stood in it.

    Raises ``ProtocolError`` for a wrong shape, ``ConfigError`` for what is no type to make of an answer.
    """
    if model is None:
        return value
    try:
        return _making(model)(value)
    except _Misfit as misfit:
        wrong = f"{at}{misfit}"
    raise ProtocolError(f"{what} answered something else than {_name(model)}: {wrong}")  # out here: see above


def _name(model: Any) -> str:
    return model.__name__ if isinstance(model, type) and not get_args(model) else str(model)


def _making(model: Any) -> Callable[[Any], Any]:
    try:
        return _maker(model)
    except TypeError as error:  # it cannot even be hashed
        raise ConfigError(f"{model!r} is no model to make of an answer") from error


@lru_cache(maxsize=256)
def _maker(model: Any) -> Callable[[Any], Any]:
    return _of_msgspec(model) if _has_struct(model) else _of_pydantic(model)


def _has_struct(model: Any) -> bool:
    msgspec = sys.modules.get("msgspec")  # who has a struct has imported it
    if msgspec is None:
        return False
    return (isinstance(model, type) and issubclass(model, msgspec.Struct)) or any(map(_has_struct, get_args(model)))


def _of_msgspec(model: Any) -> Callable[[Any], Any]:
    msgspec = sys.modules["msgspec"]

    def make(value: Any) -> Any:
        try:
            return msgspec.convert(value, model)
        except msgspec.ValidationError as error:
            told = str(error)
        place, kind = _PLACE(told), _KIND(told)
        raise _Misfit(f"{place[1] if place else ''}: {kind[1] if kind else 'not a value that it may have'}")

    return make


def _of_pydantic(model: Any) -> Callable[[Any], Any]:
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise ConfigError(f"{model!r} is no model to make of an answer: {error}") from error

    def make(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        # Its words may quote a value, its type does not.
        raise _Misfit(f"{''.join(map(_step, first['loc']))}: {first['type'].replace('_', ' ')}")

    return make


def _step(part: int | str) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}" if part.isidentifier() else f"[{part!r}]"
