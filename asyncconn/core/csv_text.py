"""A reader of CSV whose cells may be long, without a change of the process's own ``csv.field_size_limit``."""

from __future__ import annotations

import csv
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    class CsvReader(Iterator[list[str]], Protocol):
        """What ``csv.reader`` returns."""

        @property
        def line_num(self) -> int:
            """Lines read so far."""
            ...


__all__ = ["LONGEST", "CsvError", "csv_reader"]

LONGEST = 64 * 1024 * 1024  # characters of a cell; the standard has 131,072


def _private() -> Any:
    """The parser of ``csv`` once more, for us alone: its limit belongs to the module, for all threads and libraries."""
    spec = importlib.util.find_spec("_csv")
    if spec is None or spec.loader is None:
        return csv  # another Python, with the parser elsewhere: cells are as long as it allows
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.Error is csv.Error:
        return csv
    module.field_size_limit(LONGEST)
    return module


_csv = _private()

#: What reading raises; as ``csv.Error`` is, it is no ``ValueError``.
CsvError: type[Exception] = _csv.Error


def csv_reader(lines: Iterable[str], *, delimiter: str = ",", strict: bool = False) -> CsvReader:
    """As ``csv.reader``, for cells of up to :data:`LONGEST` characters. Iterating raises :data:`CsvError`."""
    reader: CsvReader = _csv.reader(lines, delimiter=delimiter, strict=strict)
    return reader
