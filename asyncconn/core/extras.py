"""Libraries that only some programs need: loaded when they are, and missed with a word on how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from asyncconn.errors import ConfigError

__all__ = ["extra"]


def extra(module: str, name: str | None = None) -> Any:
    """The module, imported now; ``name`` is the extra of this package that brings it (by default called the same).

    Raises ``ConfigError`` that says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{module} is not installed: pip install 'asyncconn[{name or module}]'") from error
