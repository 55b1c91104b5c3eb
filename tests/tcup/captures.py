"""The contract's samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "data" / "tcup.json"

#: By their ids.
CAPTURES: dict[str, dict[str, Any]] = {
    one["id"]: one for one in json.loads(_FILE.read_text(encoding="utf-8"))["samples"]
}
