"""Settings from the environment (``ASYNCCONN_...``) and from ``.env``: the hub's, and how a platform has its own."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asyncconn.core.secret import Concealed, Secret, secret
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_settings import SettingsConfigDict

__all__ = ["HubSettings", "load", "settings_config", "variable", "variables"]

_FILE = ".env"
_ENCODING = "utf-8-sig"  # with or without the mark that Windows puts in front
_PREFIX = "ASYNCCONN_"

S = TypeVar("S")


def variable(name: str) -> str | None:
    """A variable of the environment, else of ``.env`` in the working directory; None where neither has it.

    Raises ``ConfigError`` for a file that cannot be read; its contents are not quoted.
    """
    if (value := os.environ.get(name)) is not None:
        return value
    return _of_the_file().get(name)


def variables() -> set[str]:
    """The names of all variables of the environment and of ``.env``. Raises ``ConfigError`` as :func:`variable`."""
    return {*os.environ, *_of_the_file()}


def _of_the_file() -> dict[str, str | None]:
    if not Path(_FILE).exists():
        return {}
    from dotenv import dotenv_values  # few programs have the file

    try:
        return dotenv_values(_FILE, encoding=_ENCODING)
    except (OSError, UnicodeError) as error:
        problem = _unreadable(error)
    raise ConfigError(problem)  # out here it has no context: the original holds what it read, credentials too


def _unreadable(error: OSError | UnicodeError) -> str:
    what = "is not UTF-8" if isinstance(error, UnicodeError) else f"cannot be read: {error.strerror}"
    return f"the file {_FILE} with settings {what}"


# -- the hub's ---------------------------------------------------------------------------------------------------------


def _from_env(read: Callable[[str], Any], default: Any, name: str) -> Callable[[], Any]:
    """Reads a field that was not given from its variable."""

    def found() -> Any:
        text = variable(_PREFIX + name)
        if text is None:
            return default
        try:
            return read(text)
        except ValueError:
            return _Unfit()

    return found


class _Unfit:
    """Stands for a text that is not what it should be. It is not kept: it may be a credential in the wrong place."""


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """The shared session and its end. What is not given is read from ``ASYNCCONN_...``, then from ``.env``.

    ``max_connections`` in all and ``max_connections_per_host`` (0: no limit), ``dns_cache_seconds``, and the seconds of
    ``shutdown_timeout``, in which everything has to be delivered when the hub closes.

    ``proxy`` is the URL of one for all traffic, instead of ``HTTP_PROXY`` and ``HTTPS_PROXY``; an empty one means none.
    ``no_proxy`` are hosts besides those of ``NO_PROXY``. ``ca_file`` is a PEM file of authorities to trust besides the
    system's, ``client_cert`` one with certificate and key, or both files with a comma between them.

    Raises ``ConfigError`` that names each variable that does not fit, and no value.
    """

    max_connections: int = field(default_factory=_from_env(int, 100, "MAX_CONNECTIONS"))
    max_connections_per_host: int = field(default_factory=_from_env(int, 0, "MAX_CONNECTIONS_PER_HOST"))
    dns_cache_seconds: int = field(default_factory=_from_env(int, 300, "DNS_CACHE_SECONDS"))
    shutdown_timeout: float = field(default_factory=_from_env(float, 30.0, "SHUTDOWN_TIMEOUT"))
    proxy: str | Concealed | None = field(default_factory=_from_env(Secret, None, "PROXY"))  # it may hold a password
    no_proxy: str = field(default_factory=_from_env(str, "", "NO_PROXY"))
    ca_file: str | None = field(default_factory=_from_env(str, None, "CA_FILE"))
    client_cert: str | None = field(default_factory=_from_env(str, None, "CLIENT_CERT"))

    @classmethod
    def defaults(cls) -> Self:
        """As if nothing were set anywhere."""
        return cls(
            max_connections=100,
            max_connections_per_host=0,
            dns_cache_seconds=300,
            shutdown_timeout=30.0,
            proxy=None,
            no_proxy="",
            ca_file=None,
            client_cert=None,
        )

    def __post_init__(self) -> None:
        wrong = [f"{_PREFIX}{name.upper()}: {what}" for name, what in self._problems()]
        if wrong:
            raise ConfigError(f"settings do not fit: {'; '.join(wrong)}")
        if self.proxy is not None:
            object.__setattr__(self, "proxy", secret(self.proxy))

    def _problems(self) -> list[tuple[str, str]]:
        wrong = []
        for name in ("max_connections", "max_connections_per_host", "dns_cache_seconds"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                wrong.append((name, "a whole number of 0 or more is wanted"))
        timeout: object = self.shutdown_timeout
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            wrong.append(("shutdown_timeout", "seconds are wanted: more than 0, and not without end"))
        return wrong


# -- a platform's ------------------------------------------------------------------------------------------------------


def settings_config(prefix: str) -> SettingsConfigDict:
    """The ``model_config`` of a settings class whose variables begin with ``prefix``."""
    # A value that does not fit may be a credential: validation errors must not quote it.
    return {
        "env_prefix": prefix,
        "env_file": _FILE,
        "env_file_encoding": _ENCODING,
        "extra": "ignore",
        "hide_input_in_errors": True,
        "frozen": True,
    }


def load(kind: type[S], **given: Any) -> S:
    """Settings of ``kind`` from the environment, ``given`` values first.

    Raises ``ConfigError`` that names the variables which are missing (its ``missing``) or do not fit, and no values.
    """
    missing: tuple[str, ...] = ()
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except (OSError, UnicodeError) as error:
        problem = _unreadable(error)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        problem, missing = _unfit(kind, error)
    # Out here it has no context: the originals hold what they read, credentials too.
    unfit = ConfigError(problem)
    unfit.missing = missing
    raise unfit


def _unfit(kind: Any, error: Any) -> tuple[str, tuple[str, ...]]:
    """What pydantic's error says, by the names of variables; and those that are missing."""
    prefix = kind.model_config.get("env_prefix", "")
    found = [(f"{prefix}{'_'.join(map(str, e['loc']))}".upper(), e) for e in error.errors(include_input=False)]
    missing = tuple(name for name, e in found if e["type"] == "missing")
    told = "; ".join(f"{name}: {e['msg']}" for name, e in found)
    return f"settings do not fit: {told}", missing
