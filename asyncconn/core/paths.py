"""Paths that users give: whatever no file can be called is refused when it is given, not when it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from asyncconn.errors import ConfigError

__all__ = ["file_path"]


def file_path(given: Any, what: str) -> Path:
    """``given`` as a path. Raises ``ConfigError``, naming ``what`` it is of, for what the system cannot take as one.

    >>> file_path("state.json", "the state file")
    PosixPath('state.json')
    """
    try:
        path = Path(given)
        fits = b"\0" not in os.fsencode(path)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(f"{what}: {given!r} cannot be a path")
    return path
