"""Loads a source that was written for the original SDK: one import line is replaced, and nothing else."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

ORIGINALS = Path(__file__).parent / "originals"

_IMPORT = re.compile(r"^import panoply$", re.MULTILINE)


def ported(name: str, folder: Path) -> Path:
    """The source as a file in ``folder`` that imports ours."""
    text = (ORIGINALS / f"{name}.py").read_text(encoding="utf-8")
    text, replaced = _IMPORT.subn("import asyncconn.panoply as panoply", text)
    assert replaced == 1
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def load(path: Path) -> ModuleType:
    """Import a file as a module of its own, not kept in ``sys.modules``."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def choices(rows: list[str]) -> list[dict[str, Any]]:
    """What a list of ``values`` puts into ``source`` for the ones that were chosen."""
    return [{"name": row.rpartition(".")[2], "value": row} for row in rows]
