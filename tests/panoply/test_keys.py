"""By what two records count as one of the same table and id."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from asyncconn.panoply.encoding import encode_record, encode_records
from asyncconn.panoply.keys import record_key, record_keys, stored_key

UUID_TEXT = "3f2b8c1e-0000-4000-8000-0123456789ab"


class Colour(Enum):
    RED = "red"


IDS: list[list[Any]] = [
    [1, "1", 1.0, "001", Decimal(1), True, np.int64(1), np.float64(1.0)],
    ["red", Colour.RED],
    [UUID(UUID_TEXT), UUID_TEXT],
    [datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29T00:00:00+00:00"],
    [b"ab", "YWI="],
    [2.5, Decimal("2.5")],
    [[1, 2], (1, 2)],
    ["Zoë"],
    [2**80],
]


@pytest.mark.parametrize("ids", IDS, ids=str)
def test_ids_that_the_platform_may_take_for_one_are_one(ids: list[Any]) -> None:
    found = set()
    for value in ids:
        for record in ({"id": value}, {"a": 1, "id": value}, OrderedDict(id=value), {"ID": value}):
            item = encode_record("T", record)
            found |= {record_key(record, item), stored_key(item)[1]}
            found.update(record_keys([record], [item]) or ())
    assert len(found) == 1
    assert None not in found


def test_ids_that_differ_are_not_one() -> None:
    records = [{"id": ids[0]} for ids in IDS]
    assert len({record_key(record, encode_record("t", record)) for record in records}) == len(IDS)


@pytest.mark.parametrize(
    "record", [{}, {"a": 1}, {"id": None}, {"id": float("nan")}, {"id": Decimal("nan")}, {"in": {"id": 1}}], ids=str
)
def test_what_has_no_id_has_no_key(record: dict[str, Any]) -> None:
    item = encode_record("t", record)
    assert record_key(record, item) is stored_key(item)[1] is record_keys([record], [item]) is None


def test_the_table_counts_without_its_case() -> None:
    assert stored_key(encode_record("Événements", {"id": 1})) == ("événements", 1)


@pytest.mark.parametrize("item", [b"", b"[1]", b"{", b"7", b"[" * 100_000])
def test_what_is_no_record_has_no_key(item: bytes) -> None:
    assert stored_key(item) == ("", None)


def test_many_get_the_keys_that_each_would_get_up_to_the_one_that_cannot_be_encoded() -> None:
    records: list[Any] = [{"id": 1}, {"a": 1}, {"id": "x"}, {"id": "7"}, {"id": object()}, {"id": 5}]
    items, failure = encode_records("t", records)
    assert failure is not None
    assert record_keys(records, items) == [1, None, "x", 7]
