"""What a call sends, made from what its caller gave: method, URL, headers and body, or a refusal that names the place.

Pure functions. All raise ``ConfigError``, before anything is sent, and never quote a value that may be a credential.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from asyncconn.errors import ConfigError
from asyncconn.http.redact import unshown
from asyncconn.http.request import ALWAYS, Body

__all__ = [
    "Made",
    "build",
    "check_headers",
    "checked_base",
    "credential",
    "is_absolute",
    "joined",
    "json_body",
    "query",
    "query_text",
]

_ALWAYS_LOW = {name.lower(): name for name in ALWAYS}
_ALWAYS_JSON = {**ALWAYS, "Content-Type": "application/json"}

_USUAL = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "POST", "PATCH"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110: methods, header names
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_NOT_ENCODED = re.compile(r"[^\x21\x22\x24-\x7e]|%(?![0-9A-Fa-f]{2})").search
_DOTS = re.compile(r"/(?:\.|%2[eE]){1,2}(?=[/?]|\Z)").search  # a server or proxy may take them for another place
_DEEPEST = 255  # levels of a body; orjson writes no more
# orjson itself leaves out a dataclass's fields that begin with an underscore, and cuts the seconds off an offset.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # integers that orjson writes


@dataclass(slots=True, repr=False, eq=False)  # it may hold credentials
class Made:
    """A request: ``method`` in capitals, ``url`` with its query, ``headers``, and the ``body`` for all attempts."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: Body


def build(
    base_url: str,
    method: str,
    path: str,
    *,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    data: Body = None,
    headers: Mapping[str, str] | None = None,
    anywhere: bool = False,
) -> Made:
    """The request for what ``Transport.request`` was given; ``anywhere`` allows a URL of another host.

    >>> build("https://shop.example/v1", "get", "/orders", params={"open": True}).url
    URL('https://shop.example/v1/orders?open=true')
    """
    if method not in _USUAL:
        method = _method(method)
    url = _url(base_url, path, params, anywhere=anywhere)
    sent = ALWAYS if not headers else _headers(headers)
    if json is not None:
        if data is not None:
            raise ConfigError("a call takes a body as json or as data, not both")
        data = json_body(json)
        if not headers:
            sent = _ALWAYS_JSON
        elif not any(name.lower() == "content-type" for name in headers):
            sent["Content-Type"] = "application/json"
    elif data is not None and not isinstance(data, bytes):
        data = _data(data)
    return Made(method, url, sent, data)


def checked_base(base_url: Any, platform: str) -> str:
    """A platform's base URL, ``http(s)://host[:port][/path]``, without a slash at its end."""
    wrong = f"{platform}: the base URL must be http(s)://host[:port][/path]"
    if "@" not in str(base_url):  # or it may hold a password
        wrong += f", not {base_url!r}"
    try:
        url = URL(base_url)
    except (TypeError, ValueError):  # such as a port beyond 65535
        raise ConfigError(wrong) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(wrong)
    if url.user or url.password or url.query_string or url.fragment:
        raise ConfigError(f"{platform}: a base URL takes no user, password, query or fragment")
    text = str(base_url).rstrip("/")
    if any(mark in text for mark in "?#\\ ") or not text.isprintable():
        raise ConfigError(wrong)
    return text if text.isascii() else str(url).rstrip("/")


def _method(method: Any) -> str:
    if not isinstance(method, str) or not _TOKEN(method):
        raise ConfigError(f"a method is a word such as GET, not {method!r}")
    return method.upper()


def check_headers(headers: Any) -> None:
    """Refuse what cannot be headers; no value is quoted."""
    if type(headers) is not dict and not isinstance(headers, Mapping):
        raise ConfigError(f"headers are a mapping from name to text, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN(name):
            raise ConfigError(f"{name!r} cannot be the name of a header")
        if not isinstance(value, str):
            raise ConfigError(f"the header {name} must be text, not {type(value).__name__}")
        if _CONTROL(value):
            raise ConfigError(f"the header {name} holds a line break or control character")
        if not value.isascii() and _has_surrogate(value):
            raise ConfigError(f"the header {name} holds half a character (a lone surrogate)")


def credential(headers: Any) -> dict[str, str]:
    """The headers that show who asks, masked wherever they are printed. Refuses what cannot be headers."""
    if not isinstance(headers, Mapping):
        headers = type(headers).__name__  # nothing of it is to stand among the locals of a traceback
        raise ConfigError(f"the headers of a credential are a mapping from name to text, not {headers}")
    shown = headers = unshown(headers)
    check_headers(shown)
    return shown


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    check_headers(headers)
    sent = {**ALWAYS, **headers}
    for name in headers:
        if name not in ALWAYS and (ours := _ALWAYS_LOW.get(name.lower())):
            sent.pop(ours, None)
    return sent


def joined(always: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """A transport's headers and a call's: of one name, however it is spelled, the call's."""
    if given is None:
        return dict(always)
    check_headers(given)
    names = {name.lower() for name in given}
    return {**{name: value for name, value in always.items() if name.lower() not in names}, **given}


def _data(data: Any) -> Body:
    if isinstance(data, memoryview) and type(data.obj) is bytes and data.nbytes == len(data.obj) == len(data):
        return data  # all of it, and it cannot change: whoever means to hide the bytes from a traceback may do so
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if isinstance(data, aiohttp.FormData) or callable(data):
        form_or_maker: Body = data
        return form_or_maker
    raise ConfigError(
        f"data must be bytes, a form, or a function that makes a form or a stream, not {type(data).__name__}"
    )


# -- URL and query -----------------------------------------------------------------------------------------------------


def _url(base_url: str, path: Any, params: Mapping[str, Any] | None, *, anywhere: bool) -> URL:
    if type(path) is str and path.startswith("/") and "?" not in path:  # a query may hold a credential: it is not kept
        url = _below(base_url, path)
    elif not isinstance(path, str):
        raise ConfigError(f"a path is text, not {type(path).__name__}")
    elif is_absolute(path):
        url = _linked(base_url, path, anywhere=anywhere)
    else:
        url = _below.__wrapped__(base_url, path)
    if not params:
        return url
    try:
        return url.update_query(query(params))
    except (TypeError, ValueError) as error:
        raise ConfigError("path and parameters make no valid URL") from error


@lru_cache(maxsize=1024)  # to look at a path and join it costs a fiftieth of a call
def _below(base_url: str, path: str) -> URL:
    # Anything but a slash would go on with the host's name, and the credentials with it to another host.
    if (path and path[0] not in "/?") or _NOT_ENCODED(path):
        raise ConfigError(
            f"a path begins with a slash and is percent-encoded (urllib.parse.quote(id, safe='')), unlike {path!r}"
        )
    if _DOTS(path):
        raise ConfigError(f"a part of a path cannot be '.' or '..', as in {path!r}")
    try:
        return URL(base_url + path, encoded=True)
    except (TypeError, ValueError) as error:
        raise ConfigError("path and parameters make no valid URL") from error


def is_absolute(path: str) -> bool:
    """Whether it is a whole URL, such as a server's own links, and not a path below the base URL."""
    return path[:8].lower().startswith(("http://", "https://"))


def _linked(base_url: str, link: str, *, anywhere: bool) -> URL:
    """A whole URL. What stands behind its host may be a credential, and is never quoted."""
    try:
        url = URL(link, encoded=True)
        fine = bool(url.host) and not _NOT_ENCODED(link) and not url.user and not url.password
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError("a URL is http(s)://host[:port]/path, percent-encoded, without user, password or fragment")
    if not anywhere and url.origin() != URL(base_url).origin():
        raise ConfigError(
            f"a URL at {url.origin()}, not {URL(base_url).origin()}: the credential stays here; "
            f"auth=None asks there without it"
        )
    return url


def query(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and texts of a query. None is left out, alone and in a list; a list or tuple repeats its name.

    >>> query({"day": date(2026, 1, 31), "ids": [1, 2], "open": True, "not": None})
    [('day', '2026-01-31'), ('ids', '1'), ('ids', '2'), ('open', 'true')]
    """
    if type(params) is not dict and not isinstance(params, Mapping):
        raise ConfigError(f"params are a mapping from name to value, not {type(params).__name__}")
    pairs: list[tuple[str, str]] = []
    names: dict[str, Any] = {}
    for given, value in params.items():
        if type(value) is str and value.isascii() and type(given) is str and given not in names:
            names[given] = given  # the usual, at less cost
            pairs.append((given, value))
            continue
        name = given.value if isinstance(given, Enum) else given
        if not isinstance(name, str):
            raise ConfigError(f"the name of a parameter is text, not {given!r}")
        if names.setdefault(name, given) is not given:
            raise ConfigError(f"two parameters are called {name!r}")
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, list | tuple):
            pairs += [(name, query_text(one, f"{name}[{i}]")) for i, one in enumerate(value) if one is not None]
        elif value is not None:
            pairs.append((name, query_text(value, name)))
    return pairs


def query_text(value: Any, name: str) -> str:
    """One value of a query as text: ``true``, ``false``, a number, ISO 8601 for dates and times, an Enum by its value.

    Raises ``ConfigError`` with ``name`` for what has no one meaning: bytes, sets, mappings, generators, NaN, None.
    """
    if isinstance(value, Enum):
        value = value.value
    if _is_numpy(value):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if not value.isascii() and _has_surrogate(value):
            raise ConfigError(f"the parameter {name} holds half a character (a lone surrogate)")
        return str.__str__(value)
    if isinstance(value, int):
        try:
            return int.__repr__(value)
        except ValueError:  # Python writes no more than 4,300 digits
            raise ConfigError(f"the parameter {name} is an integer with too many digits") from None
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return float.__repr__(value) if isinstance(value, float) else str(value)
    if isinstance(value, datetime | date | time) and value == value:  # NaT is a datetime unequal to itself
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    what = "NaN or infinite" if isinstance(value, float | Decimal) else f"of type {type(value).__name__}"
    raise ConfigError(f"the parameter {name} is {what}, which means nothing in a query: give text, a number or a list")


def _is_numpy(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


# -- JSON --------------------------------------------------------------------------------------------------------------


def json_body(value: Any) -> bytes:
    """``value`` as JSON with every digit: integers of any size, and Decimal, are written as they are.

    Raises ``ConfigError`` with the place (``$.limits[2].value``) of what JSON does not know, NaN and infinity included:
    as null they would clear what was to be set.
    """
    try:
        encoded = orjson.dumps(value, _default, _OPTIONS)
    except TypeError as error:
        exact = _exact(value, "$", 0)
        try:
            return orjson.dumps(exact, _default, _OPTIONS)
        except TypeError:
            raise ConfigError(f"the body is not JSON: {error}") from error
    if b"null" in encoded:  # what a NaN becomes
        _exact(value, "$", 0)
    return encoded


def _default(value: Any) -> Any:
    """For orjson: what to write instead. See ``_OPTIONS``."""
    if isinstance(value, datetime | date | time) and value == value:  # NaT is a datetime unequal to itself
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"a value of type {type(value).__name__}")


def _exact(value: Any, place: str, depth: int) -> Any:
    """``value`` with integers that are too large for orjson as their digits. Raises for the first that is no JSON."""
    if depth > _DEEPEST:
        raise ConfigError("the body is nested too deeply, or contains itself")
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _has_surrogate(value):
            raise ConfigError(f"the body is not JSON: {place} holds half a character (a lone surrogate)")
        return value
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else _digits(value, place)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ConfigError(f"the body is not JSON: {place} is {value}: give a number, or None for null")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = _default(value)
    if isinstance(value, dict):
        return {_name(key, place): _exact(member, _inside(place, key), depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(member, f"{place}[{i}]", depth + 1) for i, member in enumerate(value)]
    if isinstance(value, float | Decimal | datetime | date | time | UUID | orjson.Fragment) and value == value:
        return value
    raise ConfigError(f"the body is not JSON: {place} is of type {type(value).__name__}")


def _digits(value: int, place: str) -> orjson.Fragment:
    try:
        return orjson.Fragment(int.__repr__(value))
    except ValueError:  # Python writes no more than 4,300 digits
        raise ConfigError(f"the body is not JSON: {place} is an integer with too many digits") from None


def _name(key: Any, place: str) -> str:
    if isinstance(key, str) and not _has_surrogate(key):
        return str.__str__(key)
    raise ConfigError(f"the body is not JSON: a key in {place} is {key!r}, not text")


def _inside(place: str, key: Any) -> str:
    return f"{place}.{key}" if isinstance(key, str) and key.isidentifier() else f"{place}[{key!r}]"
