"""Python's values and TCUP's, which are texts with a type beside them. Pure functions. Contract: tcup section 2.3."""

from __future__ import annotations

import math
import re
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Literal

from asyncconn.tcup.times import SOS

__all__ = ["Encoding", "cast", "encoded"]

Encoding = Literal["string", "native"]

_INTEGER = re.compile(r"[+-]?\d{1,4300}", re.ASCII).fullmatch
_TRUTH = {"true": True, "false": False}


def encoded(value: Any, encoding: Encoding = "string", default_zone: str | tzinfo | None = None) -> tuple[str, Any]:
    """``(type, value)`` as they go over the wire: ``"native"`` leaves numbers and truth values what they are.

    >>> encoded(1), encoded(2.5), encoded(True), encoded("on")
    (('count', '1'), ('quantity', '2.5'), ('boolean', 'true'), ('text', 'on'))

    Raises ``ValueError`` for NaN and infinity and for a datetime without a zone, ``TypeError`` for what is no value.
    """
    native = encoding == "native"
    if isinstance(value, str):
        return "text", str(value)
    if isinstance(value, bool):
        return "boolean", value if native else str(value).lower()
    if isinstance(value, int):
        return "count", int(value) if native else str(int(value))
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} is no number that can be sent")
        return "quantity", float(value) if native else str(value) if isinstance(value, Decimal) else repr(float(value))
    if isinstance(value, datetime):
        return "time", SOS.write(value, default_zone=default_zone)
    raise TypeError(f"{type(value).__name__} is no value of an observation: bool, int, float, Decimal, str or datetime")


def cast(value: Any, kind: str | None) -> tuple[Any, bool]:
    """The value that came with a type as Python's, and whether it fits that type: else it stays what it is.

    >>> cast("1", "count"), cast("warm", "quantity")
    ((1, True), ('warm', False))
    """
    if value is None or (kind is None and isinstance(value, bool | int | float)):
        return value, True
    how = kind.lower() if isinstance(kind, str) else "text"
    if how == "count":
        return _count(value)
    if how in ("quantity", "decimal"):
        return _quantity(value)
    if how == "boolean":
        truth = value if isinstance(value, bool) else _TRUTH.get(value.strip().lower()) if _text(value) else None
        return (value, False) if truth is None else (truth, True)
    if how == "time" and _text(value):
        try:
            return SOS.read(value), True
        except ValueError:
            return value, False
    return value if _text(value) else str(value), how != "time"


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> tuple[Any, bool]:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, True
    if isinstance(value, str) and _INTEGER(stripped := value.strip()):
        return int(stripped), True
    if isinstance(value, float) and value.is_integer():
        return int(value), True
    return value, False


def _quantity(value: Any) -> tuple[Any, bool]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value, False
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return value, False
    return (number, True) if math.isfinite(number) else (value, False)
