"""What ``write_many`` walks through is closed when it stops early: a cursor or file behind it is closed by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Panoply, save_rows
from asyncconn.errors import InvalidRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from asyncconn.sandbox import Sandbox

RECORDS: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "bad": object()}, {"id": 3}]


class Rows:
    """A generator of either kind that tells when it was closed."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records = records
        self.closed = 0

    async def later(self) -> AsyncIterator[dict[str, Any]]:
        try:
            for record in self.records:
                yield record
        finally:
            self.closed += 1

    def now(self) -> Iterator[dict[str, Any]]:
        try:
            yield from self.records
        finally:
            self.closed += 1


def writer(sandbox: Sandbox) -> Panoply:
    there = sandbox.panoply
    return Panoply(there.api_key, there.api_secret, endpoint_url=there.url)


@pytest.mark.parametrize("kind", ["later", "now"])
async def test_a_generator_is_closed_at_a_record_that_is_refused(sandbox: Sandbox, kind: str) -> None:
    rows = Rows(RECORDS)
    given = getattr(rows, kind)()
    async with writer(sandbox) as panoply:
        with pytest.raises(InvalidRecord) as caught:
            await panoply.write_many("t", given)
        assert (caught.value.index, rows.closed) == (1, 1)


@pytest.mark.parametrize("kind", ["later", "now"])
async def test_a_generator_is_closed_when_the_writer_takes_no_more(sandbox: Sandbox, kind: str) -> None:
    rows = Rows([{"id": number} for number in range(200)])
    panoply = writer(sandbox)
    async with panoply:
        pass
    given = getattr(rows, kind)()
    with pytest.raises(Exception, match="clos"):
        await panoply.write_many("t", given)
    assert rows.closed == 1


async def test_an_iterator_that_is_no_generator_stays_its_owners(sandbox: Sandbox) -> None:
    left = iter([{"id": 1}, {"id": 2}])
    async with writer(sandbox) as panoply:
        assert (await panoply.write_many("t", left)).records == 2


@pytest.mark.parametrize("name", ["day.jsonl", "day.csv.gz", "day.parquet"])
async def test_a_file_of_any_form_arrives(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    await save_rows(tmp_path / name, [{"id": f"a{number}", "town": "Zoë"} for number in range(3000)])

    async with writer(sandbox) as panoply:
        report = await panoply.write_file(tmp_path / name, "towns")
        await panoply.flush()

    assert report.records == 3000
    assert sandbox.panoply.sql("select count(*) as n, min(town) as town from towns") == [{"n": 3000, "town": "Zoë"}]


async def test_a_bad_row_of_a_file_is_named_and_those_before_it_arrive(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "day.jsonl").write_text('{"id": 1}\n{"id": 2}\n{"id": 3\n')

    async with writer(sandbox) as panoply:
        with pytest.raises(InvalidRecord, match=r"day\.jsonl:3: not JSON") as caught:
            await panoply.write_file(tmp_path / "day.jsonl", "towns")

    assert caught.value.index == 2
    assert sandbox.panoply.sql("select id from towns order by id") == [{"id": 1}, {"id": 2}]
