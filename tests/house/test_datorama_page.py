"""The way from pyDatorama: every function of its README is in the table, and every call named there exists."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import asyncconn.datorama.errors as datorama_errors
from asyncconn import Datorama, errors
from asyncconn.datorama import DataStream, DateRange, DatoramaLimits, Job, Workspace, frames

PAGE = Path(__file__).parents[2] / "docs" / "datorama.md"

#: Functions and classes of pyDatorama's README, in its order; by the name that is in its code where they differ.
README = (
    "datorama(", "Workspace.", "Stream.", "Job.", "errors.", "Timer.", "Connection",
    "datorama.workspaces", "datorama.jobs", "datorama.streams", "restore_spaces=", "restore_streams=", "restore_jobs=",
    "verbose=", "pause=", "Workspace.throttle", "datorama.get_all_streams(", "datorama.get_all_jobs(",
    "datorama.get_all_jobs_meta(", "Workspace.get_streams(", "Stream.get_stream_runs(", "Stream.get_mapping(",
    "Workspace.get_dimensions(", "Workspace.get_patterns(", "Workspace.get_harmonized_dimensions(",
    "datorama.bulk_process_streams(", "datorama.process_stream_batch(", "Stream.process(", "datorama.bulk_rerun_jobs(",
    "datorama.rerun_batch(", "datorama.rerun_all(", "Stream.rerun_all_jobs(", "Stream.rerun_job_batch(", "Job.rerun(",
    "datorama.bulk_rename_streams(", "Stream.update_stream(", "Stream.patch(",
)  # fmt: skip

#: What else it has in its code. Where a name is known by two, either will do.
CODE = (
    "get_workspaces", "store_spaces", "create_stream_df", "create_jobs_df", "create_job_log_df", "get_all_dimensions",
    "process_streams", "execute_job", "date_partition_check", "download_stats", "log_error", "log_update", "log_job",
    "check_backup_folders", "Workspace.get_meta_data", "create_pattern", "get_calculated_measurements",
    "create_calculated_measurement", "create_stream", "queue_check", "queue_eval", "pending_queue", "restore_streams",
    "store_streams", "Stream.get_meta_data", "enable", "disable", "delete", "update_mapping", "restore_jobs",
    "store_jobs", "Job.get_meta_data", "Job.download", "Connect.call", "Timer.update", "Bad_HTTP_Response",
    "Unequal_Input_Error", "DateInputError", "MissingStreamName",
)  # fmt: skip

ROOTS: dict[str, Any] = {
    "workspace": Workspace,
    "stream": DataStream,
    "job": Job,
    "frames": frames,
    "DateRange": DateRange,
    "Datorama": Datorama,
    "DatoramaLimits": DatoramaLimits,
}

_NAME = re.compile(r"`([A-Za-z_][\w.]*)(?:\(([^`]*)\))?`")


def rows() -> list[tuple[str, str]]:
    """The first two cells of each row of the table."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## From pyDatorama\n")[2]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:] if "---" not in line]
    return [(cell[0], cell[1]) for cell in cells]


def resolve(name: str) -> Any:
    """What a name of ours stands for. Raises ``AttributeError``."""
    first, *rest = name.split(".")
    if first == "datorama":
        found: Any = Datorama("00000000-0000-4000-8000-000000000000")
    elif first in ROOTS:
        found = ROOTS[first]
    else:
        found = getattr(errors, first, None) or getattr(datorama_errors, first)
    for one in rest:
        found = getattr(found, one)
    return found


def check(cell: str) -> None:
    """Every name in a cell exists, and takes the arguments it is shown with."""
    named = _NAME.findall(cell)
    assert named or cell == "none needed", f"{cell!r} names nothing"
    for name, arguments in named:
        found = resolve(name)
        shown = [one.partition("=")[0] for one in re.sub(r"\(.*\)", "", arguments).split(", ") if one]
        if shown:
            known = set(inspect.signature(found).parameters)
            assert set(shown) <= known, f"{name} takes {sorted(known)}, not {shown}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("`"))
def test_what_stands_for_it_exists_with_these_arguments(row: tuple[str, str]) -> None:
    check(row[1])


@pytest.mark.parametrize("name", [*README, *CODE])
def test_each_function_of_pydatorama_is_in_the_table(name: str) -> None:
    assert any(name in theirs for theirs, _ in rows())


@pytest.mark.parametrize("cell", ["`datorama.nothing()`", "`stream.process(begin, end)`", "`Nothing`", "something"])
def test_a_row_that_names_what_is_not_there_is_found(cell: str) -> None:
    with pytest.raises((AssertionError, AttributeError)):
        check(cell)
