"""Counts that headers tell."""

from __future__ import annotations

import pytest

from asyncconn.core.digits import whole


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("9" * 5_000, None),  # of which int() makes an error
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1_000", None),
        ("\u0661\u0662", None),  # digits, but of no header
        ("", None),
        (None, None),
    ],
)
def test_a_count_is_what_ascii_digits_tell(told: str | None, count: int | None) -> None:
    assert whole(told) == count
