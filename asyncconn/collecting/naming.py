"""Names that stay the same in every process: of a partition, for its file, and of the work that a run does."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["name_of", "name_of_key", "name_of_work"]

# No capitals: there are file systems to which they are the same as small letters.
_PLAIN = re.compile(r"(?!-?[0-9]+$)(?!.*-[0-9a-f]{20}$)[a-z0-9_]([a-z0-9_.-]{0,98}[a-z0-9_])?").fullmatch
_NUMBER = re.compile(r"-?[0-9]{1,40}").fullmatch
_STRANGE = re.compile(r"[^A-Za-z0-9_]+")


def name_of(partition: Any) -> str:
    """A text that fits a file, and that no other partition has: an integer, or a plain text, is its own name.

    Of others it is a part of their JSON and a digest of all of it. Raises ``ConfigError`` for what is no JSON.

        >>> name_of(7), name_of("sensor_7"), name_of(("Oslo", 7))
        ('7', 'sensor_7', 'Oslo_7-c5bf080aca5b133e485a')
    """
    if type(partition) is int:
        return str(partition)
    if type(partition) is str and _PLAIN(partition):
        return partition
    try:
        told = orjson.dumps(partition, _fields, orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise ConfigError(f"a partition has no name of its own: {error}; give key=, a function that names it") from None
    short = _STRANGE.sub("_", told[:200].decode("utf-8", "ignore")).strip("_")[:40]
    return f"{short}-{hashlib.blake2b(told, digest_size=10).hexdigest()}"


def name_of_key(key: object) -> str:
    """The key itself where it fits a file, else as :func:`name_of`. Raises ``ConfigError`` for what is no text.

    Keys are all texts: no integer wants the name of a text of digits.

        >>> name_of_key("7"), name_of_key("a/b")
        ('7', 'a_b-b35ee2ff1f785c6a478f')
    """
    if not isinstance(key, str):
        raise ConfigError(f"key= gives a text for each partition, not {key!r:.100}")
    return key if _NUMBER(key) else name_of(key)


def _fields(value: Any) -> Any:
    """Of a model of pydantic, and of a set: what JSON knows."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json", by_alias=True)
    raise TypeError(f"{type(value).__name__} is no JSON")


def name_of_work(work: Callable[..., Any]) -> str:
    """Its name, and a digest of its code and of what was bound to it: with other arguments it is other work.

    What it calls is not looked at, nor what cannot be told apart by its text.
    """
    told = "\0".join(_parts(work))
    return f"{_called(work)}-{hashlib.blake2b(told.encode('utf-8', 'replace'), digest_size=6).hexdigest()}"


def _called(work: Any) -> str:
    while isinstance(work, partial):
        work = work.func
    return str(getattr(work, "__name__", type(work).__name__)).strip("<>")


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, partial):
        yield from _parts(value.func)
        yield from _parts((value.args, sorted(value.keywords.items())))
    elif isinstance(value, MethodType):
        yield from _parts(value.__func__)
        yield from _parts(value.__self__)
    elif isinstance(value, FunctionType):
        yield value.__qualname__
        yield from _parts(value.__code__)
        yield from _parts((value.__defaults__, sorted((value.__kwdefaults__ or {}).items())))
        for cell in value.__closure__ or ():
            yield from _parts(_content(cell))
    elif isinstance(value, CodeType):
        yield value.co_code.hex()
        yield from _parts((value.co_names, value.co_consts))
    elif isinstance(value, tuple | list):
        yield str(len(value))
        for one in value:
            yield from _parts(one)
    elif isinstance(value, frozenset | set):
        yield from sorted(map(repr, value))
    else:
        text = repr(value)
        yield f"{type(value).__qualname__} {'' if ' at 0x' in text else text}"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None
