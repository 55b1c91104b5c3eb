"""The Limits server's files: uploaded, refused by line and column, and exported again."""

from __future__ import annotations

import csv
import io

import aiohttp
import pytest
from captures import ATOTI_LIMITS as CAPTURES

from .limits_scene import DEFINITION, LIMIT, limits, seeded

FILES = CAPTURES["csv"]


async def test_captured_files_are_uploaded_and_exported_again() -> None:
    async with limits() as (_, rest):
        for _ in range(2):
            reply = await rest.upload("Structures", "\ufeff" + FILES["limit_structures_6.1"])
            assert reply.status == 200
        assert reply.json == {"created": 0, "updated": 1}
        reply = await rest.upload("Limits", FILES["limits_approve_4.2"].replace("\n", "\r\n"))
        assert (reply.status, reply.json) == (200, {"created": 1, "updated": 0})
        exported = (await rest("POST", f"{DEFINITION}/export", {"structureIds": ["id_0001"]})).json

    rows = {name: list(csv.DictReader(io.StringIO(text))) for name, text in exported.items()}
    expected = {
        "structures": list(csv.DictReader(io.StringIO(FILES["limit_structures_6.1"]))),
        "limits": list(csv.DictReader(io.StringIO(FILES["limits_approve_4.2"]))),
    }
    assert exported["structures"].splitlines()[0] == FILES["limit_structures_6.1"].splitlines()[0]
    assert exported["limits"].splitlines()[0] == FILES["limits_approve_4.2"].splitlines()[0]
    assert rows == expected


async def test_the_captured_file_of_2_0_is_uploaded_to_2_0() -> None:
    async with limits(version="2.0.0") as (server, rest):
        assert (await rest.upload("Structures", FILES["limit_structures_6.1"])).status == 200
        assert (await rest.upload("Limits", FILES["limits_approve_2.0"])).json == {"created": 1, "updated": 0}
        assert server.store.limits["eval_0001"]["limitValue"] == 100000
        exported = (await rest("POST", f"{DEFINITION}/export", {})).json["limits"]
        assert exported.splitlines()[0] == FILES["limits_approve_2.0"].splitlines()[0]


async def test_a_file_of_another_version_is_refused() -> None:
    async with limits() as (_, rest):
        await rest.upload("Structures", FILES["limit_structures_6.1"])
        reply = await rest.upload("Limits", FILES["limits_approve_2.0"])
    missing = ["Structure ID", "Limit Value", "Source Limit ID", "Precedence", "Limit Changes Workflow Variables"]

    assert reply.status == 422
    assert [(one["row"], one["field"]) for one in reply.json["details"]] == [(1, name) for name in missing]


@pytest.mark.parametrize("column", FILES["limits_approve_4.2"].splitlines()[0].split(","))
async def test_every_column_of_limits_must_be_there(column: str) -> None:
    rows = [line.split(",") for line in FILES["limits_approve_4.2"].splitlines()]
    at = rows[0].index(column)
    text = "\n".join(",".join(row[:at] + row[at + 1 :]) for row in rows)
    async with limits() as (server, rest):
        await rest.upload("Structures", FILES["limit_structures_6.1"])
        reply = await rest.upload("Limits", text)
        assert (reply.status, [one["field"] for one in reply.json["details"]]) == (422, [column])
        assert server.store.limits == {}


@pytest.mark.parametrize("column", FILES["limit_structures_6.1"].splitlines()[0].split(","))
async def test_every_column_of_structures_must_be_there(column: str) -> None:
    rows = [line.split(",") for line in FILES["limit_structures_6.1"].splitlines()]
    at = rows[0].index(column)
    text = "\n".join(",".join(row[:at] + row[at + 1 :]) for row in rows)
    async with limits() as (_, rest):
        reply = await rest.upload("Structures", text)
        assert (reply.status, [one["field"] for one in reply.json["details"]]) == (422, [column])


async def test_further_columns_any_order_and_blank_lines_do_no_harm() -> None:
    rows = [[*line.split(",")[::-1], "more"] for line in FILES["limit_structures_6.1"].splitlines()]
    async with limits() as (_, rest):
        reply = await rest.upload("Structures", "\n\n".join(",".join(row) for row in rows))
        assert reply.json == {"created": 1, "updated": 0}


async def test_wrong_values_are_named_by_line_and_column_and_nothing_is_stored() -> None:
    header, good = FILES["limits_approve_4.2"].splitlines()
    cells = good.split(",")
    wrong = {
        "Start Date": "2026-13-01",
        "Limit Value": "many",
        "Scope": "Desk",
        "Limit Type": "Odd",
        "Precedence": "1.5",
    }
    bad = [wrong.get(title, cell) for title, cell in zip(header.split(","), cells, strict=True)]
    async with limits() as (server, rest):
        await rest.upload("Structures", FILES["limit_structures_6.1"])
        reply = await rest.upload("Limits", "\n".join([header, good, ",".join(bad).replace("lim_0001", "lim_0002")]))
        assert reply.status == 422
        assert {(one["row"], one["field"]) for one in reply.json["details"]} == {(3, title) for title in wrong}
        empty = [("" if title == "Limit Name" else cell) for title, cell in zip(header.split(","), cells, strict=True)]
        reply = await rest.upload("Limits", f"{header}\n{','.join(empty)}")
        assert reply.json["details"] == [{"row": 2, "field": "Limit Name", "message": "a value is required"}]
        assert server.store.limits == {}


@pytest.mark.parametrize(
    ("text", "status"),
    [("", 400), (b"Group,\xff", 400), ('Group,"Structure ID\n', 400), (FILES["limit_structures_6.1"] + "1,2\n", 400)],
    ids=["empty", "not UTF-8", "not CSV", "a short line"],
)
async def test_what_is_no_file_is_refused(text: str | bytes, status: int) -> None:
    async with limits() as (_, rest):
        assert (await rest.upload("Structures", text)).status == status


async def test_an_upload_is_one_csv_part_called_file() -> None:
    text = FILES["limit_structures_6.1"]
    async with limits() as (_, rest):

        async def send(*fields: tuple[str, str], kind: str = "text/csv") -> int:
            form = aiohttp.FormData()
            for name, content in fields:
                form.add_field(name, content, filename="x.csv", content_type=kind)
            return (await rest("POST", f"{DEFINITION}/uploadStructures", data=form)).status

        assert await send(("other", text)) == 400
        assert await send(("file", text), ("file", text)) == 400
        assert await send(("file", text), kind="application/json") == 415
        assert await send(("file", text)) == 200
        path = f"{DEFINITION}/uploadStructures"
        assert (await rest("POST", path, data=text, headers={"Content-Type": "text/csv"})).status == 415
        cut = {"Content-Type": "multipart/form-data; boundary=b"}
        assert (await rest("POST", path, data=b"--b\r\n\r\nhalf", headers=cut)).status == 400
        assert (await rest("POST", path, data=b"", headers={"Content-Type": "multipart/form-data"})).status == 400


@pytest.mark.parametrize(("version", "count"), [("4.1.1", 1), ("4.1.2", 2)])
async def test_an_export_leaves_out_the_deleted_and_once_forgot_temporary_ones(version: str, count: int) -> None:
    async with limits(version=version) as (_, rest):
        await seeded(rest)
        more = [
            {**LIMIT, "limitId": "t", "limitType": "TEMPORARY", "scope": "A=1"},
            {**LIMIT, "limitId": "d", "scope": "A=2"},
        ]
        assert (await rest("POST", f"{DEFINITION}/limits/save", more)).status == 200
        await rest("DELETE", f"{DEFINITION}/limits/d")
        exported = (await rest("POST", f"{DEFINITION}/export", {})).json["limits"]
        assert len(exported.splitlines()) - 1 == count
        assert (await rest("POST", f"{DEFINITION}/export", {"structureIds": ["nope"]})).status == 404
        assert (await rest("POST", f"{DEFINITION}/export", {"structureIds": "id_0001"})).status == 400
