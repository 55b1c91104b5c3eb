"""Files of structures and limits: sent up from whatever holds them, and exported again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import errors
from asyncconn.atoti_limits.errors import LimitsConflict, LimitsUnreachable, LimitsValidationError
from asyncconn.sandbox import Fault

from .scene import REST, STRUCTURE, connected, filled, row, scene

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_file_goes_up_from_a_path_a_text_bytes_rows_and_a_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: an extra")
    async with filled(2) as (_, limits):
        text = (await limits.export()).limits_csv
        path = tmp_path / "limits.csv"
        path.write_text(text)
        for source in (path, str(path), text, text.encode()):
            report = await limits.upload.limits(source)
            assert (report.created, report.updated) == (0, 2)
        rows = [row(1), row(3)]
        assert (await limits.upload.limits(rows)).created == 1
        report = await limits.upload.limits(pandas.DataFrame([row(3), row(4)]))
        assert (report.created, report.updated) == (1, 1)


async def test_what_was_exported_can_be_read_and_sent_back() -> None:
    async with filled(3) as (_, limits):
        export = await limits.export("s1")
        assert [row["Structure ID"] for row in export.structures()] == ["s1"]
        assert [row["Limit ID"] for row in export.limits()] == ["l1", "l2", "l3"]

        assert (await limits.upload.structures(export.structures_csv)).updated == 1
        with pytest.raises(errors.NotFound):
            await limits.export(["nowhere"])


async def test_an_upload_that_overlaps_is_refused_as_a_whole() -> None:
    async with filled() as (_, limits):
        doubled = row(9, **{"Scope": "CarName=car1", "Limit Name": "Limit 1"})
        with pytest.raises(LimitsConflict, match="overlap"):
            await limits.upload.limits([row(8), doubled])

        assert len(await limits.limits.list().collect()) == 1


async def test_rows_that_do_not_fit_are_refused_before_anything_is_sent() -> None:
    async with connected() as (world, limits):
        with pytest.raises(LimitsValidationError) as caught:
            await limits.upload.limits([row(1), row(2, **{"Start Date": "soon"})])

        assert (caught.value.local, [one.field for one in caught.value.details]) == (True, ["Start Date"])
        assert world.limits.requests[f"POST {REST}/limitDefinition/uploadLimits"] == 0


@pytest.mark.parametrize("source", ["no-such-file.csv", "", b"", [], None, 3, {"a": 1}])
async def test_there_must_be_something_to_upload(source: Any) -> None:
    async with scene() as world:
        with pytest.raises((errors.ConfigError, LimitsValidationError)):
            await world.client().upload.structures(source)
        assert not world.limits.requests or source == b""


@pytest.mark.parametrize(
    ("kind", "sent"), [("drop_after", 1), ("half_body", 1), ("drop_before", 1), ("status", 1), ("stall_after", 1)]
)
async def test_an_upload_whose_outcome_is_unknown_is_not_repeated(kind: str, sent: int) -> None:
    async with connected() as (world, limits):
        path = f"{REST}/limitDefinition/structure/save"
        more: dict[str, Any] = {"status": 500} if kind == "status" else {}
        world.limits.faults.add(Fault(kind, match=path, times=None, **more))
        with pytest.raises((LimitsUnreachable, errors.ServerError)) as caught:
            await limits.call("structures.save", json=[STRUCTURE], timeout=0.3)

        assert caught.value.maybe_sent is True
        assert world.limits.requests[f"POST {path}"] == sent


async def test_an_upload_that_surely_did_not_arrive_is_sent_again_whole() -> None:
    async with connected() as (world, limits):
        await limits.structures.save(STRUCTURE)
        await world.limits.go_down()
        back: list[Any] = []

        def refused(_: Any) -> None:
            if not back:
                back.append(asyncio.ensure_future(world.limits.come_up()))

        limits.server.events.on("retry", refused)
        report = await limits.upload.limits([row(1)])

        assert (report.created, len(back)) == (1, 1)
