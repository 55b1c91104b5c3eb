"""Numbers of a text with all their digits."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["exact_float", "exact_int", "whole"]

_LONGEST = 18  # digits: no file has more bytes, and Python reads no more than 4,300


def exact_int(digits: str) -> int | Decimal:
    """The integer of a JSON text; a Decimal for ``-0``, and for more digits than Python reads as int."""
    try:
        return int(digits) if digits != "-0" else Decimal(digits)
    except ValueError:
        return Decimal(digits)


def exact_float(text: str) -> float | Decimal:
    """A number of a JSON text as float where that has all its digits, else as Decimal.

    >>> exact_float("0.10"), exact_float("12345678901234567.89")
    (0.1, Decimal('12345678901234567.89'))
    """
    number = float(text)
    if repr(number) == text:
        return number
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


def whole(text: str | None) -> int | None:
    """The count that a header tells; None where it tells none.

    >>> whole(" 12 "), whole("-1"), whole("1e3"), whole(None)
    (12, None, None, None)
    """
    digits = "" if text is None else text.strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST else None
