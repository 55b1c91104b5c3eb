"""A source of the original SDK that reads a database table by table, in the one thread that its driver allows."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.panoply import run_source
from asyncconn.panoply.errors import ReadFailed

from .original import choices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from asyncconn import Panoply
    from asyncconn.sandbox import Sandbox

ROWS = {"people": 450, "nobody": 0, "places": 120, "things": 300}


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    with connection:
        for table, rows in ROWS.items():
            connection.execute(f"create table {table} (id integer, name text, price real, note text)")
            connection.executemany(
                f"insert into {table} values (?, ?, ?, ?)",
                [(n, f"{table} {n} é", n / 4, None if n % 3 else "third") for n in range(rows)],
            )
    connection.close()
    return {"type": "postgres", "database": str(path), "tables": choices([f"main.{table}" for table in ROWS])}


def content(params: dict[str, Any], table: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(params["database"])
    try:
        return connection.execute(f"select id, name, price, note from {table} order by id").fetchall()
    finally:
        connection.close()


def landed(sandbox: Sandbox, table: str) -> list[tuple[Any, ...]]:
    rows = sandbox.panoply.sql(f"select id, name, price, note from postgres_{table} order by id")
    return [tuple(row.values()) for row in rows]


async def test_every_row_of_every_table_arrives_and_the_state_is_saved(
    original: Callable[[str], ModuleType],
    panoply: Panoply,
    sandbox: Sandbox,
    params: dict[str, Any],
    tmp_path: Path,
) -> None:
    module = original("postgres_like")
    logged: list[Any] = []

    report = await run_source(
        module.Stream,
        params,
        {"logger": logged.append},
        into=panoply,
        state=tmp_path / "state.json",
        keep_state="always",
        batch_size=100,
    )

    for table in ("people", "places", "things"):
        assert landed(sandbox, table) == content(params, table)
        assert {row["__schemaname"] for row in sandbox.panoply.sql(f"select __schemaname from postgres_{table}")} == {
            "main"
        }
        assert "__state" not in sandbox.panoply.sql(f"select * from postgres_{table} limit 1")[0]
    assert sorted(sandbox.panoply.tables()) == ["postgres_people", "postgres_places", "postgres_things"]
    assert report.complete
    assert report.reads == (5 + 1) + 1 + (2 + 1) + (3 + 1)
    saved = json.loads((tmp_path / "state.json").read_text())
    assert (saved["state"], saved["source"]) == ({"last_index": 3}, {})
    assert logged == [("finished", table) for table in ROWS]


async def test_a_missing_table_ends_the_run_at_once_and_the_next_one_goes_on_from_there(
    original: Callable[[str], ModuleType],
    panoply: Panoply,
    sandbox: Sandbox,
    params: dict[str, Any],
    tmp_path: Path,
) -> None:
    module = original("postgres_like")
    given = {**params, "tables": choices(["main.people", "main.ghosts", "main.things"])}

    with pytest.raises(ReadFailed, match="no such table") as caught:
        await run_source(module.Stream, given, into=panoply, state=tmp_path / "state.json", batch_size=100)

    assert (caught.value.attempts, caught.value.retryable) == (1, False)
    assert caught.value.report is not None
    assert (caught.value.report.delivered, caught.value.report.state) == (450, {"last_index": 0})
    assert landed(sandbox, "people") == content(params, "people")

    connection = sqlite3.connect(params["database"])
    with connection:
        connection.execute("create table ghosts as select * from places")
    connection.close()
    report = await run_source(module.Stream, given, into=panoply, state=tmp_path / "state.json", batch_size=100)

    assert report.complete
    assert landed(sandbox, "ghosts") == content(params, "places")
    assert landed(sandbox, "things") == content(params, "things")


async def test_a_saved_state_is_where_the_next_run_begins(
    original: Callable[[str], ModuleType],
    panoply: Panoply,
    sandbox: Sandbox,
    params: dict[str, Any],
    tmp_path: Path,
) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"state": {"last_index": 2}, "source": {}}))

    await run_source(
        original("postgres_like").Stream, params, into=panoply, state=tmp_path / "state.json", batch_size=100
    )

    assert sandbox.panoply.tables() == {"postgres_places": 120, "postgres_things": 300}


def test_the_dynamic_values_of_its_tables_are_what_the_constructor_takes(
    original: Callable[[str], ModuleType], params: dict[str, Any]
) -> None:
    module = original("postgres_like")
    values = next(param for param in module.CONFIG["params"] if param["name"] == "tables")["values"]

    chosen = values(params)
    source = module.Stream({**params, "tables": chosen, "state": {"last_index": 3}}, {"logger": lambda msgs: None})

    assert [choice["name"] for choice in chosen] == sorted(ROWS)
    assert "state" not in source.source
    assert source.source["destination"] == "postgres_{__tablename}"
    assert len(source.read()) == 300  # by itself: the hint may be left out
    assert source.read() == []
    assert source.read() is None
    assert source.read() is None
    source.close()
