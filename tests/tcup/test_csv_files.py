"""CSV up, line by line, and down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Progress
from asyncconn.errors import BadRequest, ConfigError
from asyncconn.tcup.csv_files import BadLine

from .scene import client, scene

if TYPE_CHECKING:
    from pathlib import Path

WHEN = datetime(2026, 1, 5, tzinfo=UTC)
LONG = b"sensor,feature,starttime,endtime,name,value,type,unit\n"


async def test_the_long_form_is_stored_line_by_line() -> None:
    async with scene() as s:
        report = await s.client.observations.upload_csv(
            LONG
            + b"ts1,tf1,03-JUL-2015 13:10:00 IST,,obs1,test_1,text,\n"
            + b'ts1,tf1,03-JUL-2015 13:10:00 IST,03-JUL-2015 13:11:00 IST,obs2,7,count,"m,s"\n'
        )
        rows = await s.client.observations.query(sensor="ts1").collect()

    assert (report.delivered, report.bad_lines) == (2, ())
    assert [(row["name"], row["value"], row["unit"]) for row in rows] == [("obs1", "test_1", None), ("obs2", 7, "m,s")]
    assert rows[0]["starttime"] == datetime(2015, 7, 3, 7, 40, tzinfo=UTC)


async def test_the_wide_form_has_a_column_for_each_output() -> None:
    async with scene() as s:
        report = await s.client.observations.upload_csv(
            b"\xef\xbb\xbf Sensor ,STARTTIME,obs1,obs2\r\n"
            b"ts1,05-JAN-2026 00:00:00 UTC,a,1\r\n"
            b"ts1,05-JAN-2026 00:00:01 UTC,,2\r\n"
            b"\r\n"
            b"ts1,05-JAN-2026 00:00:02 UTC,,\r\n"
        )
        rows = await s.client.observations.query(sensor="ts1").collect()

    assert (report.delivered, report.rejected) == (2, 1)
    assert report.bad_lines == (BadLine(5, "it has no value"),)
    assert [(row["name"], row["value"]) for row in rows] == [("obs1", "a"), ("obs2", 1), ("obs2", 2)]


async def test_times_may_be_iso_8601() -> None:
    async with scene() as s:
        there = client(s.sandbox, s.hub, default_timezone="IST")
        report = await there.observations.upload_csv(
            b"sensor,starttime,endtime,obs1\nts1,2026-01-05T00:00:00Z,2026-01-05T06:00+05:30,a\nts1,2026-01-05,,b\n"
        )
        rows = await s.client.observations.query(sensor="ts1", end="2026-01-05T00:00:01Z").collect()

    assert (report.delivered, report.bad_lines) == (2, ())
    assert [(row["value"], WHEN - row["starttime"]) for row in rows] == [
        ("b", timedelta(hours=5, minutes=30)),
        ("a", timedelta(0)),
    ]


async def test_each_bad_line_is_reported_with_its_number_and_the_others_are_stored() -> None:
    lines = [
        b"ts1,tf1,05-JAN-2026 00:00:00 UTC,,obs1,fine,,",
        b"ts1,tf1,soon,,obs1,x,,",
        b",tf1,05-JAN-2026 00:00:00 UTC,,obs1,x,,",
        b"ts1,tf1,05-JAN-2026 00:00:00 UTC,,,x,,",
        b"ts1,tf1,05-JAN-2026 00:00:00 UTC,,obs1",
        b"tsX,tf1,05-JAN-2026 00:00:00 UTC,,obs1,x,,",
        b'ts1,tf1,05-JAN-2026 00:00:01 UTC,,obs1,"two\nlines",,',
        b"ts1,tf1,05-JAN-2026 00:00:02 UTC,,obs9,x,,",
    ]
    async with scene() as s:
        report = await s.client.observations.upload_csv(LONG + b"\n".join(lines))

        assert (report.delivered, report.rejected) == (2, 6)
        assert [line.number for line in report.bad_lines] == [3, 4, 5, 6, 7, 10]
        assert [line.message for line in report.bad_lines][1:3] == ["it names no sensor", "it names no output"]
        assert s.values() == ["fine", "two\nlines"]


async def test_a_file_is_read_in_pieces_and_sent_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    times = [(WHEN + timedelta(seconds=i)).strftime("%d-JAN-2026 %H:%M:%S UTC") for i in range(1700)]
    path.write_bytes(LONG + "".join(f"ts1,tf1,{when},,obs2,{i},count,\n" for i, when in enumerate(times)).encode())
    async with scene() as s:
        heard: list[Progress] = []
        report = await s.client.observations.upload_csv(path, on_progress=heard.append)

        assert report.delivered == 1700
        assert s.inserts() == 4
        assert [one.done for one in heard] == [500, 1000, 1500, 1700]


async def test_a_download_tells_how_much_has_come(tmp_path: Path) -> None:
    heard: list[Progress] = []
    async with scene() as s:
        await s.client.observations.upload_csv(LONG + b"ts1,tf1,05-JAN-2026 00:00:00 UTC,,obs1,x,text,\n")
        path = await s.client.observations.download_csv(tmp_path / "out.csv", sensor="ts1", on_progress=heard.append)

    assert path is not None
    assert heard[-1] == Progress(path.stat().st_size, None, "bytes")


@pytest.mark.parametrize(
    "cell", ["=cmd|' /C calc'!A0", "../../etc/passwd", 'a,b;c\t"d"', "\u202egnp.exe", "<script>", " spaces ", "0", "-"]
)
async def test_a_cell_is_carried_as_the_text_that_it_is(cell: str, tmp_path: Path) -> None:
    async with scene() as s:
        quoted = '"' + cell.replace('"', '""') + '"'
        await s.client.observations.upload_csv(
            LONG + f"ts1,tf1,05-JAN-2026 00:00:00 UTC,,obs1,{quoted},text,\n".encode()
        )
        (row,) = await s.client.observations.query(sensor="ts1").collect()
        assert row["value"] == cell
        path = await s.client.observations.download_csv(tmp_path / "out.csv", sensor="ts1")
        assert path is not None
        await s.client.sensors.clear("ts1")
        await s.client.observations.upload_csv(path)
        assert await s.client.observations.query(sensor="ts1").collect() == [row]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"sensor,name,value\n", "starttime"),
        (b"feature,starttime,name,value\n", "sensor"),
        (b"sensor,starttime\n", "output"),
        (b"sensor,starttime,Name,VALUE,colour\n", "'colour'"),
        (b"sensor,starttime,name,value,NAME\n", "twice"),
        (LONG + b"\xff\xfe\n", "UTF-8"),
    ],
)
async def test_a_file_that_cannot_be_is_refused(text: bytes, said: str) -> None:
    async with scene() as s:
        with pytest.raises(ConfigError, match=said):
            await s.client.observations.upload_csv(text)

        assert s.inserts() == 0


async def test_columns_that_nobody_knows_may_be_left_out(tmp_path: Path) -> None:
    text = b"sensor,starttime,name,value,colour\nts1,05-JAN-2026 00:00:00 UTC,obs2,1,blue\n"
    unknown: Any = "drop"
    async with scene() as s:
        report = await s.client.observations.upload_csv(text, on_unknown="ignore")

        assert report.delivered == 1
        with pytest.raises(ConfigError, match="on_unknown"):
            await s.client.observations.upload_csv(text, on_unknown=unknown)
        with pytest.raises(ConfigError, match="cannot be read"):
            await s.client.observations.upload_csv(tmp_path / "none.csv")


async def test_a_download_can_be_uploaded_again(tmp_path: Path) -> None:
    async with scene() as s, scene() as other:
        await s.client.observations.insert_many(
            [("ts1", {"obs1": f"n{i}", "obs2": i}, "tf1", WHEN + timedelta(seconds=i)) for i in range(1200)]
        )
        path = await s.client.observations.download_csv(tmp_path / "out.csv", sensor="ts1", where="obs2>=100")
        assert path is not None
        report = await other.client.observations.upload_csv(path)

        assert report.delivered == 2200
        assert len(other.rows()) == 2200
        assert path.read_bytes().startswith(LONG)


async def test_nothing_found_leaves_no_file_and_touches_none(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("kept")
    async with scene() as s:
        assert await s.client.observations.download_csv(tmp_path / "new.csv", sensor="ts1") is None
        assert await s.client.observations.download_csv(there, sensor="ts1") is None

    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert there.read_text() == "kept"


async def test_a_download_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    async with scene() as s:
        with pytest.raises(BadRequest):
            await s.client.observations.download_csv(tmp_path / "new.csv", sensor="ts1", where="obs2~1")

    assert list(tmp_path.iterdir()) == []
