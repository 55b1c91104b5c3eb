"""The CSV files that a Limits server reads and writes, by its version; and the multipart body they come in."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.sandbox.atoti_limits.problems import Findings, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncconn.sandbox.exchange import Call

__all__ = [
    "Column",
    "incident_columns",
    "legacy_columns",
    "limit_columns",
    "read_rows",
    "structure_columns",
    "uploaded_text",
    "write_rows",
]

Kind = Literal["text", "number", "numbers", "bool", "keys", "params"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column, the JSON field it stands for, and whether each row must have a value in it."""

    title: str
    field: str
    required: bool = False
    kind: Kind = "text"


def structure_columns(version: tuple[int, ...]) -> list[Column]:
    """``limit_structures.csv``."""
    columns = [
        Column("Group", "group"),
        Column("Structure ID", "structureId", required=True),
        Column("Name", "name", required=True),
        Column("Comment", "comment"),
        Column("Polling Frequency", "pollingFrequency", required=True),
        Column("KPI Type", "kpiType", required=True),
        Column("Absolute Value Indicator", "absoluteValueIndicator", required=True, kind="bool"),
        Column("Warning Threshold", "warningThreshold", kind="number"),
        Column("Measure Name", "measureName", required=True),
        Column("Scope Keys", "scopeKeys", required=True, kind="keys"),
        Column("Limit Changes Workflow", "limitChangesWorkflow"),
        Column("Limit Changes Workflow Parameters", "limitChangesWorkflowParameters", kind="params"),
        Column("Exception Workflow", "exceptionWorkflow"),
        Column("Utilization Dashboard ID", "utilizationDashboardId"),
        Column("Cube Name", "cubeName", required=True),
        Column("Server Name", "serverName", required=True),
    ]
    if version >= (4, 2):
        columns.append(Column("Limit Workflow Variables", "limitWorkflowVariables"))
        columns.append(Column("Incident Workflow Variables", "incidentWorkflowVariables"))
    return columns


def limit_columns(version: tuple[int, ...]) -> list[Column]:
    """``limits_approve.csv``."""
    old, new = version < (3, 3), version >= (4, 2)
    columns = [
        Column("Structure Group", "structureGroup", required=True),
        Column("Structure Name", "structureName", required=True),
        Column("Structure Reference ID" if old else "Structure ID", "structureId", required=True),
        Column("Cube Name", "cubeName", required=True),
        Column("Server Name", "serverName", required=True),
        Column("Measure Name", "measureName", required=True),
        Column("Limit ID", "limitId", required=True),
        Column("Limit Name", "limitName", required=True),
        Column("Start Date", "startDate", required=True),
        Column("End Date", "endDate"),
        Column("Limit Type", "limitType"),
        Column("Limit Value" if new else "Limit Values", "limitValue", required=True, kind="numbers"),
        Column("Scope", "scope", required=True),
        Column("Limit Status", "limitStatus", required=True),
        Column("parentLimitKey" if old else "Source Limit ID", "sourceLimitId"),
    ]
    if version >= (3, 1):
        columns.append(Column("Precedence", "precedence", required=True, kind="number"))
    if new:
        columns.append(Column("Limit Changes Workflow Variables", "limitChangesWorkflowVariables"))
    return columns


def legacy_columns() -> list[Column]:
    """``legacy_limits.csv`` of 1.x, as far as it is known."""
    return [
        Column("Group", "group"),
        Column("ID", "id"),
        Column("Name", "name", required=True),
        Column("Comment", "comment"),
        Column("Start Date", "validFrom", required=True),
        Column("End Date", "validTo"),
        Column("Frequency Type", "frequencyType"),
        Column("Polling Frequency", "pollingFrequency", required=True),
        Column("Kpi Type", "kpiType", required=True),
        Column("Limit Values", "limitValues", required=True, kind="numbers"),
        Column("Absolute Value Indicator", "absoluteValueIndicator", required=True, kind="bool"),
        Column("Warning Threshold", "warningThreshold", kind="number"),
        Column("Measure Name", "measureName", required=True),
        Column("Scope", "scope", required=True),
        Column("Precedence", "precedence", required=True, kind="number"),
        Column("Limit Status", "limitStatus", required=True),
        Column("Limit Changes Workflow", "limitChangesWorkflow"),
        Column("Limit Changes Workflow Parameters", "limitChangesWorkflowParameters", kind="params"),
    ]


def incident_columns(version: tuple[int, ...], *, beta: bool = False) -> list[Column]:
    """``incidents.csv``, which is also what an evaluation answers.

    ``beta``: a version before the release of its number. That of 4.0 alone has another name for the first column.
    """
    columns = [
        Column("limitKey" if beta and version[:2] == (4, 0) else "Limit ID", "limitId"),
        Column("Incident Type", "incidentType"),
        Column("Measure Value", "measureValue"),
        Column("Location", "location"),
        Column("MDX", "mdx"),
        Column("As Of Date", "asOfDate"),
        Column("BreachCount", "breachCount"),
        Column("EvaluationTimestamp", "evaluationTimestamp"),
        Column("SessionID", "sessionId"),
        Column("Status", "status"),
        Column("Workflow", "workflow"),
        Column("Workflow parameters", "workflowParameters"),
        Column("Comment", "comment"),
    ]
    return [*columns, Column("Limit Type", "limitType")] if version >= (4, 2) else columns


# -- reading -----------------------------------------------------------------------------------------------------------


def read_rows(text: str, columns: Sequence[Column]) -> tuple[list[dict[str, Any]], Findings]:
    """Rows by JSON field, and where to note what is wrong with them, by line and column.

    Raises 400 for what is no CSV, and 422 with details when a column or a required value is missing.
    """
    try:
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if line]
    except csv.Error as error:
        raise Problem(400, f"The file is not CSV: {error}") from error
    if not lines:
        raise Problem(400, "The file is empty")
    header, *body = lines
    absent = Findings(lines=[1])
    for column in columns:
        if column.title not in header:
            absent.add(0, column.title, "the column is missing")
    absent.refuse(422, "Columns are missing")
    found = Findings(lines=range(2, len(body) + 2), titles={column.field: column.title for column in columns})
    rows = []
    for number, cells in enumerate(body):
        if len(cells) != len(header):
            raise Problem(400, f"Line {number + 2} has {len(cells)} values, the header has {len(header)}")
        named = dict(zip(header, cells, strict=True))
        row = {column.field: _value(named[column.title].strip(), column.kind) for column in columns}
        for column in columns:
            if column.required and not named[column.title].strip():
                found.add(number, column.field, "a value is required")
        rows.append(row)
    found.refuse(422, "Values are missing")
    return rows, found


def _value(text: str, kind: Kind) -> Any:
    """What cannot be read stays text, for the rules to complain about."""
    if kind == "keys":
        return [key.strip() for key in text.split("|") if key.strip()]
    if kind == "params":
        pairs = (part.partition("=") for part in text.split("|") if part.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    if not text:
        return None
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "number" or (kind == "numbers" and not text.startswith("[")):
        return _number(text)
    if kind == "numbers":
        return [_number(part.strip()) for part in text.strip("[]").split(",")]
    return text


def _number(text: str) -> Any:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else text


# -- writing -----------------------------------------------------------------------------------------------------------


def write_rows(columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> str:
    """Header and rows, each line ended by a line feed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in columns])
    writer.writerows([_text(row.get(column.field), column) for column in columns] for row in rows)
    return out.getvalue()


def _text(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "|".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, list):
        return "|".join(map(str, value)) if column.kind == "keys" else json.dumps(value, separators=(",", ":"))
    return str(value)


# -- multipart ---------------------------------------------------------------------------------------------------------


def uploaded_text(call: Call) -> str:
    """The text of the one part ``file``. Raises 400 or 415."""
    kind, content = _headers(f"Content-Type: {call.headers.get('Content-Type', '')}\n\n")
    boundary = content.get("boundary", "")
    if kind != "multipart/form-data":
        raise Problem(415, "The request must be multipart/form-data")
    pieces = (b"\r\n" + call.body).split(b"\r\n--" + boundary.encode())
    if not boundary or len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise Problem(400, "The multipart body is not complete")
    if len(pieces) > 3:
        raise Problem(400, "There must be exactly one part")
    head, _, data = pieces[1].partition(b"\r\n\r\n")
    part = HeaderParser().parsestr(head.strip().decode("utf-8", "replace"))
    if part.get_param("name", header="Content-Disposition") != "file":
        raise Problem(400, "The part must have the name file")
    if part.get_content_type() != "text/csv":
        raise Problem(415, "The part must be text/csv")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, "The file is not UTF-8") from error


def _headers(text: str) -> tuple[str, dict[str, str]]:
    message = HeaderParser().parsestr(text)
    parameters = message.get_params(failobj=[])
    return message.get_content_type(), {name: str(value) for name, value in parameters}
