"""The contract's samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CAPTURES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "limits.json").read_text(encoding="utf-8"))
