"""The reporting API: reports, their jobs, their files, and schedules.

Contract: datorama sections 2.8 and 3.9. ``splitFilesBy`` and ``queryByUpdateDate`` are kept and have no effect;
schedules are kept and never fire.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.datorama.answers import ApiError, json_answer
from asyncconn.sandbox.datorama.data import Field, find_field
from asyncconn.sandbox.datorama.files import file_answer, zipped
from asyncconn.sandbox.datorama.resources import crud
from asyncconn.sandbox.datorama.selecting import ordered, select
from asyncconn.sandbox.datorama.streams import read_range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from asyncconn.sandbox.datorama.data import Cell
    from asyncconn.sandbox.datorama.jobs import ReportJob
    from asyncconn.sandbox.datorama.live import Live
    from asyncconn.sandbox.datorama.routes import Ask, Route
    from asyncconn.sandbox.exchange import Answer

__all__ = ["Reports"]

Object = dict[str, Any]

#: Formats that are really written: their delimiter.
_DELIMITERS = {"CSV": ",", "TSV": "\t", "TXT": "\t"}
_ROWS_A_PIECE = 1000
_DAYS_WITHOUT_FILTER = 30


class Reports:
    """From a report's definition to its file."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def routes(self) -> list[Route]:
        """All of the section."""
        live = self._live
        return [
            *crud(live, "reports", "LCGUPD", check=self._check_new),
            ("POST", "/v1/reports/{id}/process", self._process),
            ("GET", "/v1/reports/{id}/report-jobs", self._jobs),
            ("GET", "/v1/report-jobs/{job}", self._job),
            ("GET", "/v1/report-jobs/{job}/download", self._download),
            *crud(live, "report-schedulers", "CGUPD"),
            ("GET", "/v1/reports/{id}/report-schedulers", self._schedulers),
        ]

    def _check_new(self, given: Object) -> None:
        if not given.get("name"):
            raise ApiError(422, "name is required")
        most = self._live.options.max_reports
        if most is not None and len(self._live.shelves["reports"].of(given["workspaceId"])) >= most:
            raise ApiError(422, f"a workspace holds {most} reports at most")

    def _process(self, ask: Ask) -> Answer:
        report = self._live.find("reports", ask.id("id"), ask.token)
        try:
            _Plan(report, self._live.clock.today())
            why = None
        except ApiError as error:
            why = error.message
        except (AttributeError, KeyError, TypeError):
            why = "the report's config cannot be read"
        shown = self._shown(self._live.new_report_job(report, why), counts=False)
        return json_answer([{name: shown[name] for name in ("id", "reportId", "status", "compressed")}])

    def _shown(self, job: ReportJob, *, counts: bool = True) -> Object:
        return job.shown(self._live.options, self._live.clock.seconds(), counts=counts)

    def _find_job(self, ask: Ask) -> ReportJob:
        job = self._live.report_jobs.get(ask.id("job"))
        if job is None:
            raise ApiError(404, f"report-jobs: {ask.id('job')} does not exist")
        self._live.check_belongs("reports", job.report, ask.token)
        return job

    def _job(self, ask: Ask) -> Answer:
        return json_answer(self._shown(self._find_job(ask)))

    def _jobs(self, ask: Ask) -> Answer:
        report = self._live.find("reports", ask.id("id"), ask.token)["id"]
        return json_answer([self._shown(job) for job in self._live.report_jobs.values() if job.report_id == report])

    def _schedulers(self, ask: Ask) -> Answer:
        found = self._live.shelves["report-schedulers"].of(self._live.find("reports", ask.id("id"), ask.token)["id"])
        only_active = ask.query("includeOnlyActive") == "true"
        return json_answer([each for each in found if each["active"] or not only_active])

    def _download(self, ask: Ask) -> Answer:
        job = self._find_job(ask)
        if self._shown(job, counts=False)["status"] != "SUCCESS":
            raise ApiError(422, f"report job {job.id} has no file")
        report = job.report
        plan = _Plan(report, self._live.clock.today())
        pieces = list(plan.pieces(self._live))
        name = f"{report.get('exportFileName') or report['name']}.{plan.format.lower()}"
        size = sum(map(len, pieces))
        answer = file_answer(pieces, size)
        if report.get("compressed"):
            answer, name = zipped(name, pieces, size), f"{name.rpartition('.')[0]}.zip"
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
        return replace(answer, headers={"Content-Disposition": f'attachment; filename="{quoted}"'})


class _Plan:
    """A report's definition, read. :class:`ApiError` says what is wrong with it."""

    def __init__(self, report: Any, today: date) -> None:
        config = report.get("config") or {}
        if not isinstance(config, dict):
            raise _wrong("config")
        self.report = report
        self.format = str(report.get("exportFormat") or "CSV")
        if self.format not in _DELIMITERS:
            raise ApiError(422, f"the sandbox writes {', '.join(_DELIMITERS)}, not {self.format}")
        self.dimensions = [_field(name) for name in config.get("rowDims") or ()]
        self.measurements = [_field(each.get("name")) for each in config.get("metrics") or ()]
        if not self.dimensions and not self.measurements:
            raise _wrong("rowDims and metrics")
        given = config.get("filter") or {}
        self.first, self.last = today - timedelta(days=_DAYS_WITHOUT_FILTER), today
        if given.get("date"):
            self.first, self.last = read_range(given["date"])
        self.allowed = {
            _field(name).system: each["vals"] for name, each in (given.get("filterDims") or {}).items() if each["vals"]
        }
        self.sort = config.get("sortInfo") or {}
        self.names = config.get("customDisplayNames") or {}

    def pieces(self, live: Live) -> Iterator[bytes]:
        """Descriptive lines, an empty line, the header, the rows."""
        columns = [*self.dimensions, *self.measurements]
        yield self._lines(
            [("Report", self.report["name"]), ("Range", f"{self.first} - {self.last}"), ()],
        )
        if self.report.get("includeHeaders") is not False:
            yield self._lines([[self._title(field) for field in columns]])
        found = self._rows(live, columns)
        for start in range(0, len(found), _ROWS_A_PIECE):
            yield self._lines(found[start : start + _ROWS_A_PIECE])

    def _rows(self, live: Live, columns: list[Field]) -> list[list[Cell]]:
        there = live.rows(self.report["workspaceId"], self.first, self.last)
        kept = (row for row in there if all(row[name] in vals for name, vals in self.allowed.items()))
        found = select(kept, self.dimensions, self.measurements)
        by = find_field(self.sort.get("metric"))
        if by is not None and by in columns:
            found = ordered(found, columns.index(by), descending=self.sort.get("sortOrder") == "DESC")
        return found

    def _title(self, field: Field) -> str:
        custom = self.names.get(field.system) or {}
        return custom.get("displayName") or field.display

    def _lines(self, lines: Any) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=_DELIMITERS[self.format], lineterminator="\n").writerows(lines)
        return text.getvalue().encode()


def _field(name: object) -> Field:
    field = find_field(name)
    if field is None:
        raise ApiError(422, f"unknown field {name!r}")
    return field


def _wrong(what: str) -> ApiError:
    return ApiError(422, f"the report has no usable {what}")
