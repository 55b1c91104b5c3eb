"""The demonstration's records: real weather of Seattle, from the CSV files that come with the package.

Source: NOAA National Centers for Environmental Information (public domain), as shipped in vega_datasets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.core.row_files import Problem, read_csv
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Difference", "compare", "default_data", "load"]

Record = dict[str, Any]


def default_data() -> Path:
    """Where the files are: inside the installed package, or in ``examples`` of a checkout."""
    package = Path(__file__).parents[2]
    packaged = package / "data"
    return packaged if packaged.is_dir() else package.parent / "examples" / "data"


def load(folder: Path) -> dict[str, list[Record]]:
    """Typed records by table, each with an ``id`` that is the same in every run. ``ConfigError`` names a bad file."""
    return {
        "weather": _read(folder / "seattle-weather.csv", _daily),
        "temperatures": _read(folder / "seattle-temps.csv", _hourly),
    }


def _daily(row: Record) -> Record:
    date = datetime.strptime(row["date"], "%Y/%m/%d").date().isoformat()  # noqa: DTZ007 - a day, not a moment
    numbers = {name: float(row[name]) for name in ("precipitation", "temp_max", "temp_min", "wind")}
    return {"id": f"weather-{date}", "date": date, **numbers, "weather": row["weather"]}


def _hourly(row: Record) -> Record:
    at = datetime.strptime(row["date"], "%Y/%m/%d %H:%M").isoformat()  # noqa: DTZ007 - Seattle's clock, as published
    return {"id": f"temp-{at}", "date": at, "temp": float(row["temp"])}


def _read(path: Path, convert: Callable[[Record], Record]) -> list[Record]:
    records = []
    try:
        with path.open("rb") as stream:
            for row in read_csv(stream):
                if isinstance(row, Problem):
                    raise ConfigError(f"{path}:{row.line}: {row.what}")
                try:
                    records.append(convert(row.record))
                except KeyError as error:
                    raise ConfigError(f"{path}: there is no column {error}") from None
                except ValueError as error:
                    raise ConfigError(f"{path}:{row.line}: {error}") from None
    except OSError as error:
        raise ConfigError(
            f"the demonstration's data cannot be read: {path}: {error.strerror}; --data names another folder"
        ) from None
    if not records:
        raise ConfigError(f"{path} holds no records")
    return records


@dataclass(frozen=True, slots=True)
class Difference:
    """How rows differ from the records they should be; the ids, in order."""

    missing: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.altered or self.unexpected)


def compare(records: Iterable[Record], rows: Iterable[Record]) -> Difference:
    """Every value of every record against the row with its id; columns that begin with ``__`` are the warehouse's."""
    expected = {record["id"]: record for record in records}
    found: dict[str, list[Record]] = {}
    for row in rows:
        plain = {name: value for name, value in row.items() if not name.startswith("__")}
        found.setdefault(plain["id"], []).append(plain)
    return Difference(
        missing=[key for key in expected if key not in found],
        altered=[key for key, record in expected.items() if key in found and found[key][-1] != record],
        unexpected=[key for key, same in found.items() if key not in expected or len(same) > 1],
    )
