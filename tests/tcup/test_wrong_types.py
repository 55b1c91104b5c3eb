"""What is of a wrong type is refused with an error that names it, before anything is sent."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub
from asyncconn.errors import ConfigError
from asyncconn.tcup import Tcup

if TYPE_CHECKING:
    from collections.abc import Callable

NO_LISTS: list[Any] = [None, 7, 1.5, object(), Tcup]
HALF = "\ud800"  # of a character: no text that can be sent


async def refused(call: Callable[[Tcup, Any], Any], given: Any, word: str) -> None:
    async with Hub() as hub:
        tcup = Tcup("http://127.0.0.1:9", "key", hub=hub)  # where nobody listens: a call would fail otherwise
        with pytest.raises(ConfigError, match=word):
            await awaited(call(tcup, given))


async def awaited(found: Any) -> Any:
    return await found if isawaitable(found) else found


@pytest.mark.parametrize("given", NO_LISTS)
@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda tcup, given: tcup.observations.insert_many(given), "rows"),
        (lambda tcup, given: tcup.observations.backfill(given), "rows"),
        (lambda tcup, given: tcup.sensors.create_many(given), "sensors"),
        (lambda tcup, given: tcup.features.create_many(given), "features"),
        (lambda tcup, given: tcup.datalake.link(given), "links"),
        (lambda tcup, given: tcup.datalake.unlink(given), "links"),
        (lambda tcup, given: tcup.datalake.create_relations(given), "relations"),
        (lambda tcup, given: tcup.datalake.create_directories(given), "directories"),
        (lambda tcup, given: tcup.datalake.create_users(given), "users"),
        (lambda tcup, given: tcup.datalake.share("u/d/f", given, "R"), "users"),
        (lambda tcup, given: tcup.workflows.create(given, name="p", version="v1"), "pairs"),
        (lambda tcup, given: tcup.workflows.wait_all(given), "runs"),
        (lambda tcup, given: tcup.tasks.wait_all(given), "tasks"),
    ],
)
async def test_what_is_no_list(call: Callable[[Tcup, Any], Any], given: Any, word: str) -> None:
    await refused(call, given, word)


@pytest.mark.parametrize("given", [7, [7], [None], b"ts1", True])
@pytest.mark.parametrize("word", ["sensor", "feature", "properties", "where"])
async def test_a_condition_that_is_no_text(given: Any, word: str) -> None:
    await refused(lambda tcup, name: tcup.observations.query(**{"sensor": "ts1", word: name}), given, word)


@pytest.mark.parametrize("given", ["", "7", None, [1], float("nan")])
@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda tcup, given: tcup.observations.backfill([], share=given), "share"),
        (lambda tcup, given: tcup.observations.insert_many([], dedupe_window=given), "dedupe_window"),
        (lambda tcup, given: tcup.observations.query(sensor="ts1", page_size=given), "page_size"),
    ],
)
async def test_what_is_no_number(call: Callable[[Tcup, Any], Any], given: Any, word: str) -> None:
    await refused(call, given, word)


@pytest.mark.parametrize("given", [HALF, "..", "", None, [1], {}, 1.5])
@pytest.mark.parametrize(
    "call",
    [
        lambda tcup, given: tcup.sensors.get(given),
        lambda tcup, given: tcup.features.delete(given),
        lambda tcup, given: tcup.workflows.get(given),
    ],
)
async def test_what_is_no_name_in_a_path(call: Callable[[Tcup, Any], Any], given: Any) -> None:
    await refused(call, given, "name")


@pytest.mark.parametrize("given", [HALF, None, 7, [1], "", b"x"])
@pytest.mark.parametrize(
    "call",
    [
        lambda tcup, given: tcup.workflows.run(given),
        lambda tcup, given: tcup.workflows.wait(given),
        lambda tcup, given: tcup.tasks.wait(given),
        lambda tcup, given: tcup.datalake.comment("u/d/f", given),
    ],
)
async def test_what_is_no_text(call: Callable[[Tcup, Any], Any], given: Any) -> None:
    await refused(call, given, "text|token")


@pytest.mark.parametrize("pair", [7, None, "ab", ("a",), ("a", "b", "c")])
async def test_what_is_no_pair_of_tasks(pair: Any) -> None:
    await refused(lambda tcup, given: tcup.workflows.create([given], name="p", version="v1"), pair, "pair")
