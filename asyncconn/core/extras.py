"""Libraries that only some programs need: loaded when they are, and missed with a word on how to get them."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from asyncconn.errors import ConfigError

__all__ = ["extra", "needed"]


def extra(module: str, name: str | None = None) -> Any:
    """The module, imported now; ``name`` is the extra of this package that brings it (by default called the same).

    Raises ``ConfigError`` that says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module, name) from error


def needed(module: str, name: str | None = None) -> None:
    """Raise what :func:`extra` would, without the import: for a library that is loaded later, when it is in use."""
    if importlib.util.find_spec(module) is None:
        raise _missing(module, name)


def _missing(module: str, name: str | None) -> ConfigError:
    missing = ConfigError(f"{module} is not installed: pip install 'asyncconn[{name or module}]'")
    missing.advice = ""  # no value is wrong, and the message says what to do
    return missing
