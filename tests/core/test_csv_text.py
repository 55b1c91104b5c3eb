"""Long cells of CSV are read, and nothing of the process is changed for it."""

from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from asyncconn.atoti_limits.errors import LimitsValidationError
from asyncconn.atoti_limits.offline.csv_formats import evaluation_rows, read_limits
from asyncconn.core import csv_text
from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.datorama.log import COLUMNS, read_log

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * 200_000


def test_a_cell_may_be_longer_than_the_standard_readers_limit() -> None:
    assert list(csv_reader([f'a;"{LONG}\n', f'{LONG}"\n'], delimiter=";", strict=True)) == [["a", f"{LONG}\n{LONG}"]]


def test_the_limit_of_the_process_stays_as_it_was() -> None:
    list(csv_reader([LONG]))
    assert csv.field_size_limit() == 131_072
    with pytest.raises(csv.Error, match="field limit"):
        list(csv.reader([LONG]))


def test_a_program_may_set_the_limit_of_its_own_readers() -> None:
    program = (
        "import csv; csv.field_size_limit(10); from asyncconn.core.csv_text import csv_reader;"
        "print(len(next(csv_reader(['x' * 200_000]))[0]), csv.field_size_limit())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["200000", "10"]


def test_what_is_no_csv_is_an_error_that_can_be_caught() -> None:
    with pytest.raises(CsvError, match="expected after"):
        list(csv_reader(['"a"b'], strict=True))


def test_a_cell_beyond_every_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = csv_text._csv.field_size_limit(1_000)
    try:
        with pytest.raises(CsvError, match="field larger than field limit"):
            list(csv_reader([LONG]))
    finally:
        csv_text._csv.field_size_limit(before)


def test_evaluations_limits_and_job_logs_take_long_cells(tmp_path: Path) -> None:
    assert evaluation_rows(["Limit ID,Note", f"l1,{LONG}"]) == [{"Limit ID": "l1", "Note": LONG}]
    with pytest.raises(LimitsValidationError) as caught:  # columns are missing; the cell is none of it
        read_limits(f"Limit ID,Limit Name\nl1,{LONG}\n")
    assert not [detail for detail in caught.value.details if "CSV" in str(detail)]
    path = tmp_path / "log.csv"
    path.write_text(",".join(COLUMNS) + "\n" + ",".join([LONG] + ["1"] * (len(COLUMNS) - 1)) + "\n")
    [row] = read_log(path)
    assert row.workspace == LONG
