"""The parameters of a data source: what ``CONFIG["params"]`` may hold, and how a text becomes a value of one.

Contract: panoply section 7, "A param".
"""

from __future__ import annotations

import asyncio
import inspect
import math
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from asyncconn.core.durations import positive
from asyncconn.core.threads import OwnThread
from asyncconn.errors import ConfigError

__all__ = ["Param", "choices_of", "convert", "copied", "default_of", "label", "parse_params", "value_of"]

_LISTS = frozenset({"list", "dynamic-list", "exclude", "parse-string"})
_SECRETS = frozenset({"password", "oauth"})
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TEXTS = {
    "title": "title",
    "placeholder": "placeholder",
    "help": "help",
    "description": "description",
    "link": "link",
    "category": "category",
    "oauthAuthorizeURL": "oauth_authorize_url",
    "oauthAccessURL": "oauth_access_url",
    "oauthRefreshURL": "oauth_refresh_url",
}
_MOST = 100_000  # choices; a list without an end must not fill the memory
_LISTED = 12  # choices that an error names
_LONGEST = 300  # digits of a number


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. Fields are those of the contract; ``rest`` has what it does not know.

    ``values`` is a tuple of choices, a function of ``(source)`` or ``(source, options)`` that returns them and may be a
    coroutine function, or None. A choice is a text, a number, or a dict with ``value`` and perhaps ``name``.
    """

    name: str
    title: str = ""
    placeholder: str = ""
    help: str = ""
    description: str = ""
    link: str = ""
    required: bool = False
    default: Any = field(default=None, repr=False)  # of a password, too
    type: str = "text"
    values: tuple[Any, ...] | Callable[..., Any] | None = None
    dependencies: tuple[str, ...] = ()
    category: str = ""
    oauth_authorize_url: str = ""
    oauth_access_url: str = ""
    oauth_refresh_url: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> Literal["text", "number", "list", "switch"]:
        """What a value is; text for types nobody knows."""
        if self.type in _LISTS:
            return "list"
        if self.type == "truncate-table":
            return "switch"
        return "number" if self.type == "number" else "text"

    @property
    def secret(self) -> bool:
        """Whether its value must not be seen: passwords and tokens."""
        return self.type in _SECRETS

    @property
    def hidden(self) -> bool:
        """Whether nobody is asked for it."""
        return self.type == "hidden"

    @property
    def dynamic(self) -> bool:
        """Whether its choices have to be asked for."""
        return callable(self.values)


# -- reading CONFIG["params"] ------------------------------------------------------------------------------------------


def parse_params(params: Any) -> tuple[Param, ...]:
    """``CONFIG["params"]`` as parameters. Raises ``ConfigError``: what is wrong, and at which place.

    >>> [param] = parse_params([{"name": "port", "type": "number", "default": "5432"}])
    >>> param.kind, default_of(param)
    ('number', '5432')
    """
    if not isinstance(params, list | tuple):
        raise ConfigError(f'CONFIG["params"] is {_a(params)}: make it a list of dicts, one for each parameter')
    found = [_param(f'CONFIG["params"][{index}]', one) for index, one in enumerate(params)]
    places: dict[str, int] = {}
    for index, param in enumerate(found):
        first = places.setdefault(param.name, index)
        if first != index:
            raise ConfigError(
                f'CONFIG["params"][{index}]: the name {param.name!r} is that of CONFIG["params"][{first}] too; '
                "rename one of them"
            )
    for index, param in enumerate(found):
        for name in param.dependencies:
            if name not in places:
                raise ConfigError(
                    f'CONFIG["params"][{index}] ({param.name!r}): "dependencies" names {name!r}, which is none: '
                    f"there are {', '.join(places)}"
                )
    _refuse_circles({param.name: param.dependencies for param in found})
    return tuple(found)


def _param(where: str, given: Any) -> Param:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {_a(given)}: make it a dict with a name")
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f'{where} has no "name": give it one, the key under which the value arrives in source')
    where = f"{where} ({name!r})"
    fields: dict[str, Any] = {"name": name}
    for key, attribute in {**_TEXTS, "type": "type"}.items():
        value = given.get(key)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f'{where}: "{key}" is {_a(value)}: make it a text')
        if value:
            fields[attribute] = value
    required = given.get("required")
    if required is not None and not isinstance(required, bool):
        raise ConfigError(f'{where}: "required" is {_a(required)}: make it True or False')
    fields["required"] = bool(required)
    fields["default"] = given.get("default")
    fields["values"] = _values(where, given.get("values"))
    fields["dependencies"] = _names(where, given.get("dependencies"))
    known = {*_TEXTS, "name", "type", "required", "default", "values", "dependencies"}
    fields["rest"] = {key: value for key, value in given.items() if key not in known}
    return Param(**fields)


def _values(where: str, values: Any) -> tuple[Any, ...] | Callable[..., Any] | None:
    if values is None:
        return None
    if callable(values):
        checked: Callable[..., Any] = values
        return checked
    if not isinstance(values, list | tuple):
        raise ConfigError(f'{where}: "values" is {_a(values)}: make it a list, or a function of source')
    return _checked(f'{where}: "values"', values)


def _checked(where: str, values: Sequence[Any]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if isinstance(value, Mapping) and "value" in value:
            continue
        if not isinstance(value, str | int | float):
            raise ConfigError(f'{where}[{index}] is {_a(value)}: make it a text, or a dict with "name" and "value"')
    return tuple(values)


def _names(where: str, names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{where}: "dependencies" is no list of names of parameters: make it one')
    return tuple(names)


def _refuse_circles(dependencies: Mapping[str, Sequence[str]]) -> None:
    left = dict(dependencies)
    while left:
        free = [name for name, needs in left.items() if not any(need in left for need in needs)]
        if not free:
            raise ConfigError(f'CONFIG["params"]: {", ".join(left)} depend on each other; remove one of "dependencies"')
        for name in free:
            del left[name]


def _a(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


# -- choices -----------------------------------------------------------------------------------------------------------


async def choices_of(
    param: Param, source: Mapping[str, Any], options: Mapping[str, Any] | None = None, *, timeout: float = 60.0
) -> tuple[Any, ...] | None:
    """What may be chosen, or None where anything goes. A function of the module is called in a thread of its own.

    It gets a copy of ``source``, which should hold the parameters that ``param`` depends on. Raises ``ConfigError``
    when it fails, takes more than ``timeout`` seconds, or returns something else than choices.
    """
    if param.values is None or isinstance(param.values, tuple):
        return param.values
    positive("timeout", timeout)
    thread = OwnThread(f"asyncconn-values-{param.name}")
    try:
        async with asyncio.timeout(timeout) as limit:
            arguments = _arguments(param.values, copied(source), dict(options or {}))
            found = await thread.run(param.values, *arguments)
            if inspect.isawaitable(found):
                found = await found
            if isinstance(found, AsyncIterable):
                found = [value async for value in found]
            if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
                raise ConfigError(f"the values of {param.name!r} are {_a(found)}: its function must return a list")
            some = await thread.run(_list, found)  # lazy ones do their work here
    except ConfigError:
        raise
    except Exception as error:
        if limit.expired():
            raise ConfigError(f"the values of {param.name!r} did not come within {timeout:g} s") from error
        raise ConfigError(f"the values of {param.name!r} could not be had: {type(error).__name__}: {error}") from error
    finally:
        thread.close()
    if len(some) > _MOST:
        raise ConfigError(f"the values of {param.name!r} are more than {_MOST:,}: too many to choose from")
    return _checked(f"the values of {param.name!r}", some)


def _list(found: Iterable[Any]) -> list[Any]:
    return list(islice(found, _MOST + 1))


def _arguments(values: Callable[..., Any], source: dict[str, Any], options: dict[str, Any]) -> tuple[Any, ...]:
    try:
        inspect.signature(values).bind(source, options)
    except (TypeError, ValueError):  # it takes one; or it is built in, and tells nothing
        return (source,)
    return source, options


def label(choice: Any) -> str:
    """How a choice is called: its ``name``, else its ``value``."""
    if isinstance(choice, Mapping):
        return str(choice.get("name") or choice["value"])
    return str(choice)


# -- values ------------------------------------------------------------------------------------------------------------


def copied(value: Any) -> Any:
    """Parameters for a source to do with as it likes: dicts, lists and sets are new at every depth, the rest is shared.

    Raises ``ConfigError`` for one that holds itself.
    """
    try:
        return _copied(value)
    except RecursionError:
        raise ConfigError("the parameters of a source are nested without end: does one hold itself?") from None


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(one) for key, one in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(map(_copied, value))
    return value


def convert(param: Param, texts: Sequence[str], choices: Sequence[Any] | None = None) -> Any:
    """The value for ``source`` of what was given as text; a list takes several texts, and commas in each.

    A number stays a text, as the platform hands it to a source, digit by digit; it is looked at, though. With
    ``choices`` (see :func:`choices_of`) it is one of them, by value or by name; a dict comes back whole. Raises
    ``ConfigError`` that says what is allowed; of a secret it repeats nothing.

        >>> convert(Param("port", type="number"), ["5432"])
        '5432'
        >>> convert(Param("forms", type="list"), ["a,b", "c"])
        ['a', 'b', 'c']
        >>> convert(Param("table", type="select"), ["Users"], [{"name": "Users", "value": 7}])
        {'name': 'Users', 'value': 7}
    """
    if param.kind != "list":
        return _one(param, texts[-1], choices)
    return [_one(param, one, choices) for text in texts for one in _split(text, choices)]


def default_of(param: Param, choices: Sequence[Any] | None = None) -> Any:
    """The default as a value, or None. A text is converted as any other; the rest is taken as it is.

    Raises ``ConfigError`` for a default that its own type or choices refuse.
    """
    default = param.default
    if default is None or default == "":
        return None
    texts = [default] if isinstance(default, str) else default if param.kind == "list" else None
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return default
    try:
        return convert(param, texts, choices)
    except ConfigError as error:
        raise ConfigError(f'the default of {param.name!r} in CONFIG["params"]: {error.message}') from None


def _split(text: str, choices: Sequence[Any] | None) -> list[str]:
    if choices and _chosen(text, choices) is not None:
        return [text]  # a comma in it is its own
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _one(param: Param, text: str, choices: Sequence[Any] | None) -> Any:
    if choices is not None:
        found = _chosen(text, choices)
        if found is None:
            raise ConfigError(f"{_quoted(param, text)} is not one of {_listed(choices)}")
        return found[0]
    if param.kind == "number":
        return _number(param, text)
    if param.kind == "switch":
        if (value := _SWITCH.get(text.strip().lower())) is None:
            raise ConfigError(f"{_quoted(param, text)} is neither true nor false")
        return value
    return text


def _chosen(text: str, choices: Sequence[Any]) -> tuple[Any] | None:
    """In a tuple, as a choice may itself be false. By value first: names are for reading, and may repeat."""
    for name_of in (value_of, label):
        for choice in choices:
            if name_of(choice) == text and not _disabled(choice):
                return (choice,)
    return None


def value_of(choice: Any) -> str:
    """What a choice stands for, as text."""
    return str(choice["value"] if isinstance(choice, Mapping) else choice)


def _disabled(choice: Any) -> bool:
    return isinstance(choice, Mapping) and bool(choice.get("disabled"))


def _number(param: Param, text: str) -> str:
    plain = text.strip()
    if _NUMBER.fullmatch(plain) is None or len(plain) > _LONGEST or not math.isfinite(float(plain)):
        raise ConfigError(f"{_quoted(param, text)} is not a number")
    return plain


def _quoted(param: Param, text: str) -> str:
    return "the value given" if param.secret else repr(text if len(text) <= 80 else f"{text[:80]}...")


def _listed(choices: Sequence[Any]) -> str:
    names = [label(choice) for choice in choices if not _disabled(choice)]
    if not names:
        return "the choices: there are none"
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
