"""The contracts' samples: what was seen on the wire of each platform, all values invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def _read(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


PANOPLY: list[dict[str, Any]] = _read("panoply")["captures"]
DATORAMA: dict[str, Any] = _read("datorama")["samples"]
ATOTI_LIMITS: dict[str, Any] = _read("limits")
