"""What becomes of records behind the queue."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.sandbox.panoply.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .conftest import RawClient

NOW = "2030-01-01T00:00:00+00:00"


@pytest.fixture
async def warehouse() -> AsyncIterator[Warehouse]:
    warehouse = Warehouse()
    await warehouse.open()
    yield warehouse
    warehouse.close()


def lines(*documents: dict[str, Any]) -> str:
    return "".join(json.dumps(document) + "\n\n" for document in documents)


async def test_rows_land_in_the_lower_cased_table_with_the_time_of_sending(warehouse: Warehouse) -> None:
    loaded = await warehouse.load(lines({"a": 1, "__table": "Events"}, {"a": 2, "__table": "EVENTS"}), NOW)
    assert (loaded.records, loaded.invalid) == (2, [])
    assert warehouse.tables() == {"events": 2}
    assert warehouse.sql("select * from events where a = ?", 2) == [{"a": 2, "__senttime": NOW}]


async def test_columns_appear_as_they_come(warehouse: Warehouse) -> None:
    await warehouse.load(lines({"a": 1, "__table": "t"}, {"b": 2, "__table": "t"}), NOW)
    await warehouse.load(lines({"c": 3, "__table": "t"}), NOW)
    assert warehouse.sql("select a, b, c from t") == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": 2, "c": None},
        {"a": None, "b": None, "c": 3},
    ]


async def test_values_keep_their_meaning(warehouse: Warehouse) -> None:
    values: dict[str, object] = {
        "true": True,
        "false": False,
        "null": None,
        "text": "7",
        "float": 1.5,
        "least": -(2**63),
        "most": 2**63 - 1,
        "more": 2**63,
        "nested": {"é": [1, {}]},
        "list": [],
        "nul": "a\0b",
    }
    await warehouse.load(lines({**values, "__table": "t"}), NOW)
    [row] = warehouse.sql("select * from t")
    assert row == {
        **values,
        "true": 1,
        "false": 0,
        "more": "9223372036854775808",
        "nested": '{"é":[1,{}]}',
        "list": "[]",
        "__senttime": NOW,
    }


async def test_an_integer_too_long_for_python_is_kept_as_text(warehouse: Warehouse) -> None:
    digits = "1" * 5000
    await warehouse.load(f'{{"n": {digits}, "m": 1, "__table": "t"}}', NOW)
    assert warehouse.sql("select n, m from t") == [{"n": digits, "m": 1}]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"a": NaN, "__table": "t"}', "not valid JSON: NaN"),
        ('{"a": [-Infinity], "__table": "t"}', "not valid JSON: -Infinity"),
        ('{"a": 1', "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("1", "not a JSON object"),
        ('{"a": 1}', "no table"),
        ('{"a": 1, "__table": 5}', "no table"),
        ('{"a": 1, "__table": ""}', "no table"),
        ('{"a": 1, "__table": "x\\u0000"}', "the table name holds a NUL"),
        ('{"a": 1, "__table": "SQLite_master"}', "reserved"),
        ('{"a\\u0000": 1, "__table": "t"}', "a key holds a NUL"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
async def test_invalid_documents_are_reported_and_the_others_loaded(
    warehouse: Warehouse, document: str, reason: str
) -> None:
    good = '{"good": 1, "__table": "good"}'
    loaded = await warehouse.load(f"{good}\n{document}\n\n{good}\n", NOW)
    assert loaded.records == 2
    assert warehouse.tables() == {"good": 2}
    [invalid] = loaded.invalid
    assert reason in invalid.reason
    assert invalid.text == document[:2000]


async def test_more_columns_than_a_table_can_have_are_invalid(warehouse: Warehouse) -> None:
    wide = {**{f"c{i}": i for i in range(2000)}, "__table": "t"}
    loaded = await warehouse.load(lines(wide, {"a": 1, "__table": "t"}), NOW)
    assert (loaded.records, len(loaded.invalid)) == (1, 1)
    assert "2000 columns" in loaded.invalid[0].reason
    loaded = await warehouse.load(lines(wide | {"__table": "only wide"}), NOW)
    assert (loaded.records, warehouse.tables()) == (0, {"t": 1})


async def test_rows_with_the_same_id_are_updated_also_across_messages(warehouse: Warehouse) -> None:
    await warehouse.load(lines({"id": 1, "a": 1, "b": 1, "__table": "t"}, {"id": 2, "a": 5, "__table": "t"}), NOW)
    await warehouse.load(lines({"a": 2, "id": 1, "__table": "T"}), "later")
    assert warehouse.sql("select id, a, b, __senttime as at from t order by id") == [
        {"id": 1, "a": 2, "b": 1, "at": "later"},
        {"id": 2, "a": 5, "b": None, "at": NOW},
    ]


async def test_the_last_write_wins_whatever_columns_lie_between(warehouse: Warehouse) -> None:
    table = {"__table": "t"}
    body = lines({"id": 1, "a": 1, **table}, {"id": 1, "a": 2, "b": 1, **table}, {"id": 1, "a": 3, **table})
    await warehouse.load(body, NOW)
    assert warehouse.sql("select id, a, b from t") == [{"id": 1, "a": 3, "b": 1}]


async def test_ids_of_different_types_are_different_and_a_null_id_is_none(warehouse: Warehouse) -> None:
    ids = [1, "1", None, None, [1], "é", "É", 2**70]
    await warehouse.load(lines(*({"id": i, "__table": "t"} for i in [*ids, *ids])), NOW)
    assert warehouse.tables() == {"t": len(ids) + 2}


async def test_an_id_that_comes_later_is_unique_from_then_on(warehouse: Warehouse) -> None:
    await warehouse.load(lines({"a": 1, "__table": "t"}), NOW)
    for value in (2, 3):
        await warehouse.load(lines({"ID": 1, "a": value, "__table": "t"}), NOW)
    assert warehouse.sql("select id as id, a from t") == [{"id": None, "a": 1}, {"id": 1, "a": 3}]


async def test_upsert_uses_an_index(warehouse: Warehouse) -> None:
    await warehouse.load(lines({"id": 1, "__table": "t"}), NOW)
    [index] = warehouse.sql("pragma index_list(t)")
    assert index["unique"] == 1


@pytest.mark.parametrize(
    "name",
    [
        'a"b',
        "a'b",
        "a b",
        "select",
        "",
        "é",
        "😀",
        "a;drop table x",
        'x"); drop table x; --',
        "a\nb",
        "rowid",
        "[a]",
        "%s",
    ],
)
async def test_odd_names_are_only_names(warehouse: Warehouse, name: str) -> None:
    await warehouse.load(lines({"keep": 1, "__table": "x"}), NOW)
    await warehouse.load(lines({name: 1, "__table": name or "t"}), NOW)
    await warehouse.load(lines({name: 2, "other": 1, "__table": name or "t"}), NOW)
    assert warehouse.tables() == {"x": 1, (name or "t"): 2}
    quoted = (name or "t").replace('"', '""')
    assert [row[name] for row in warehouse.sql(f'select * from "{quoted}"')] == [1, 2]


async def test_keys_that_differ_only_in_case_share_a_column_and_the_last_wins(warehouse: Warehouse) -> None:
    loaded = await warehouse.load('{"A": 1, "a": 2, "__table": "t"}\n{"a": 3, "A": 4, "__table": "t"}', NOW)
    assert loaded.records == 2
    assert [row["A"] for row in warehouse.sql("select * from t")] == [2, 4]


async def test_the_time_of_sending_is_the_platforms(warehouse: Warehouse) -> None:
    await warehouse.load(lines({"__SentTime": "mine", "__table": "t"}), NOW)
    assert warehouse.sql("select * from t") == [{"__senttime": NOW}]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into t values (1, 2)",
        "delete from t",
        "drop table t",
        "create table u (a)",
        "create temp table u (a)",
        "pragma query_only = 0",
        "begin",
        "with x as (select 1) delete from t",
        "select 1; drop table t",
        "attach database 'other.db' as other",
        "vacuum",
        "select nothing from nowhere",
        "this is not SQL",
    ],
)
async def test_sql_only_reads_and_names_what_is_wrong(warehouse: Warehouse, statement: str) -> None:
    await warehouse.load(lines({"a": 1, "__table": "t"}), NOW)
    with pytest.raises(ConfigError, match="sql: "):
        warehouse.sql(statement)
    assert warehouse.tables() == {"t": 1}
    assert (await warehouse.load(lines({"a": 1, "__table": "t"}), NOW)).records == 1


async def test_sql_outside_the_sandbox_says_so() -> None:
    sandbox = Sandbox()
    with pytest.raises(LifecycleError, match="async with"):
        sandbox.panoply.sql("select 1")
    with pytest.raises(LifecycleError, match="async with"):
        sandbox.panoply.tables()


async def test_a_file_keeps_the_data_and_the_uniqueness_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"
    for value in (1, 2):
        async with Sandbox(PanoplyWorld(warehouse=path)) as sandbox:
            panoply = sandbox.panoply
            await panoply._warehouse.load(lines({"id": 7, "a": value, "__table": "t"}), NOW)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select id, a from t").fetchall() == [(7, 2)]
    connection.close()
    assert [file.name for file in tmp_path.iterdir()] == ["warehouse.db"]


async def test_a_file_that_is_no_database_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "not.db"
    path.write_text("this is plain text, longer than a header of a database file, " * 20)
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with Sandbox(PanoplyWorld(warehouse=path)):
            pass


async def test_a_failing_warehouse_is_an_internal_failure_and_nothing_is_counted_as_accepted(
    raw: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(raw.sandbox.panoply._warehouse, "_load", full)
    reply = await raw.send('{"__table": "t"}')
    assert (reply.status, "<Code>InternalFailure</Code>" in reply.text) == (500, True)
    assert raw.sandbox.panoply.counters.accepted == 0
    assert raw.sandbox.panoply.counters.not_loaded == 1


async def test_a_load_that_fails_half_way_leaves_nothing(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Warehouse._store

    def store(self: Warehouse, writer: sqlite3.Connection, table: str, *rest: Any) -> int:
        if table == "bad":
            raise sqlite3.OperationalError("disk I/O error")
        return real(self, writer, table, *rest)

    monkeypatch.setattr(Warehouse, "_store", store)
    with pytest.raises(sqlite3.OperationalError):
        await warehouse.load(lines({"a": 1, "__table": "good"}, {"a": 1, "__table": "bad"}), NOW)
    assert warehouse.tables() == {}
    await warehouse.load(lines({"a": 1, "__table": "good"}), NOW)
    assert warehouse.tables() == {"good": 1}


async def test_loading_happens_on_the_warehouses_own_thread(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    real = Warehouse._load

    def load(self: Warehouse, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(self, *args)

    monkeypatch.setattr(Warehouse, "_load", load)
    await warehouse.load(lines({"a": 1, "__table": "t"}), NOW)
    assert threads[0].startswith("asyncconn-sandbox-warehouse")


async def test_ten_thousand_records_with_ids_take_less_than_a_second(warehouse: Warehouse) -> None:
    records = [{"id": i, "city": "Seattle", "temp": 12.8, "__table": "t"} for i in range(2500)]
    body = lines(*records)
    started = time.perf_counter()
    for _ in range(4):
        await warehouse.load(body, NOW)
    assert time.perf_counter() - started < 1.0
    assert warehouse.tables() == {"t": 2500}
