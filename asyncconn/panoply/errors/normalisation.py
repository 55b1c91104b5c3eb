"""Any error of a source in the platform's terms: a code, the phase, and where it came from.

Contract: panoply section 8 (wrap_errors, set_internal_code); weaknesses 43 to 45 of section 10.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.panoply.errors.exceptions import DataSourceException, IncorrectParamError, NotAnException

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CODES", "Phase", "set_internal_code", "wrap_errors"]

F = TypeVar("F", bound="Callable[..., Any]")
E = TypeVar("E", bound=type[Exception])

CODES: Mapping[int, str] = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Permissions error",
    404: "Resource is not found",
    408: "Timeout",
    422: "Parsing error",
    429: "Rate limit",
    500: "Internal exception",
    501: "Unclassified error",
    506: "SDK error in processing an error",
}
_UNCLASSIFIED = 501
_UNKNOWN_CODE = 506

_codes: dict[type, int] = {}  # for the process, as the classes themselves


class Phase(StrEnum):
    """What the source was doing."""

    COLLECT = "collect"
    CONFIG = "config"


def set_internal_code(code: int) -> Callable[[E], E]:
    """Give an exception class, and those derived from it, one of the platform's ``CODES``.

        >>> @set_internal_code(404)
        ... class NoSuchForm(Exception): ...

    Raises ``NotAnException`` (a ``RuntimeError``) for anything but an exception class. A code that the platform does
    not know becomes 506 when it is used. Contract: panoply section 8.
    """

    def decorate(kind: Any) -> Any:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise NotAnException("Unable to set error code for non-Exception class")
        _codes[kind] = code
        return kind

    return decorate


def wrap_errors(phase: Phase | str) -> Callable[[F], F]:
    """Make every ``Exception`` that the function raises a ``DataSourceException``, with the original as its cause.

        >>> class Stream(DataSource):
        ...     @wrap_errors(Phase.COLLECT)
        ...     async def read(self, n=None): ...

    For plain and ``async`` functions whose first argument, or ``source=``, is a source or the dict of its parameters;
    type, id and database are None where they cannot be found. The code is that of the class, or of the nearest base
    that has one (:func:`set_internal_code`), else 501. ``retryable`` is the original's, True where it has none. A
    ``DataSourceException`` gets this phase and is passed on.

    Raises ``IncorrectParamError``, at decoration, for a phase that does not exist. Contract: panoply section 8.
    """
    try:
        phase = Phase(phase)
    except ValueError:
        raise IncorrectParamError(
            f"wrap_errors: the phase must be one of {', '.join(Phase)}, not {type(phase).__name__}"
        ) from None

    def decorate(function: F) -> F:
        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except DataSourceException as error:
                error.phase = phase
                raise
            except Exception as error:
                raise _normalised(error, phase, args, kwargs) from error

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except DataSourceException as error:
                error.phase = phase
                raise
            except Exception as error:
                raise _normalised(error, phase, args, kwargs) from error

        wrapper: Any = awaited if inspect.iscoroutinefunction(inspect.unwrap(function)) else called
        return wrapper  # type: ignore[no-any-return] # it has the function's own signature

    return decorate


def _normalised(
    error: Exception, phase: Phase, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> DataSourceException:
    source = _source(args, kwargs)
    kind = type(error)
    return DataSourceException(
        _text(error),
        _code(kind),
        f"{kind.__module__}.{kind.__name__}",
        phase,
        source.get("type"),
        source.get("id"),
        source.get("database"),
        bool(getattr(error, "retryable", True)),
    )


def _code(kind: type) -> int:
    code = next((_codes[base] for base in kind.__mro__ if base in _codes), _UNCLASSIFIED)
    return code if code in CODES else _UNKNOWN_CODE


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - an error that cannot even say what it is must not hide itself
        return f"{type(error).__name__}, whose text raised {type(broken).__name__}"


def _source(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source's parameters; positional arguments but the first are looked at for the sake of class methods."""
    for given in (*args[:1], kwargs.get("self"), kwargs.get("source"), *args[1:]):
        with suppress(Exception):  # whatever the argument is, looking at it must not hide the real error
            found = given if isinstance(given, Mapping) else getattr(given, "source", None)
            if isinstance(found, Mapping):
                return {name: found.get(name) for name in ("type", "id", "database")}
    return {}
