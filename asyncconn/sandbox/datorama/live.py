"""The objects themselves, seeded: what ``sandbox.datorama.world`` lets a test look at and change."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.datorama import data
from asyncconn.sandbox.datorama.answers import ApiError
from asyncconn.sandbox.datorama.jobs import ReportJob, Stat, windows
from asyncconn.sandbox.datorama.samples import FIELDS, STREAM_OWNED
from asyncconn.sandbox.datorama.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.datorama.data import Cell, Row
    from asyncconn.sandbox.datorama.options import Options

__all__ = ["FIRST_USER", "Live"]

Object = dict[str, Any]

FIRST_USER = 5001
_FILES: Object = {
    "dataSourceId": None,
    "dataSourceName": "TotalConnect",
    "sourceDisplayName": "TotalConnect",
    "dataSourceAuthenticationId": None,
    "config": None,
    "retrievalDeliveryMethod": "SFTP",
}
_FIRST_IDS = {
    "accounts": 9001,
    "workspaces": 41_001,
    "data-streams": 7_700_101,
    "calculated-measurements": 2_401,
    "filtered-measurements": 2_501,
    "calculated-dimensions": 2_601,
    "data-fusions": 2_701,
    "harmonized-dimensions": 2_201,
    "patterns": 3_301,
    "users": FIRST_USER,
    "permission-sets": 7_001,
    "authentications": 61_001,
    "dashboards": 31_001,
    "pages": 32_001,
    "reports": 55_001,
    "report-schedulers": 56_001,
}
#: What an object belongs to: the field with its id, and the shelf on which it is.
_PARENTS = {
    "workspaces": ("accountId", "accounts"),
    "users": ("accountId", "accounts"),
    "permission-sets": ("accountId", "accounts"),
    "pages": ("dashboardId", "dashboards"),
    "report-schedulers": ("reportId", "reports"),
}
_TO_WORKSPACE = ("workspaceId", "workspaces")
_JOB_DAYS = 10
_JOB_SECONDS = 123.0


class Live:
    """Everything there is. Objects are dictionaries as the API shows them, by id; change them as you like.

    ``stats`` are :class:`~asyncconn.sandbox.datorama.jobs.Stat` by id, ``stats_of`` the same by stream; ``mappings``
    by stream, ``models`` by workspace and ``"dimensions"`` or ``"measurements"``. ``deleted_data`` keeps the bodies of
    the requests to delete data.
    """

    def __init__(self, options: Options, clock: MovableClock, seed: int | str | None) -> None:
        self.options = options
        self.clock = clock
        self.seed = f"datorama:{seed}"
        self.random = random.Random(self.seed)  # noqa: S311 - decides how jobs end, protects nothing
        self.shelves = {
            word: Shelf(
                first,
                FIELDS[word],
                None if word == "accounts" else _PARENTS.get(word, _TO_WORKSPACE)[0],
                STREAM_OWNED if word == "data-streams" else (),
            )
            for word, first in _FIRST_IDS.items()
        }
        self.stats: dict[int, Stat] = {}
        self.stats_of: defaultdict[int, list[Stat]] = defaultdict(list)
        self.report_jobs: dict[int, ReportJob] = {}
        self.mappings: dict[int, Any] = {}
        self.models: dict[tuple[int, str], dict[str, Object]] = {}
        self.profiles: defaultdict[int, list[Any]] = defaultdict(list)
        self.deleted_data: list[Any] = []
        self._next_stat = 900_000_001
        self._next_report_job = 66_001
        self._populate()

    def __repr__(self) -> str:
        return f"<Live {len(self.workspaces)} workspaces, {len(self.streams)} streams, {len(self.stats)} stats>"

    # -- for tests -----------------------------------------------------------------------------------------------------

    @property
    def workspaces(self) -> dict[int, Object]:
        """By id."""
        return self.shelves["workspaces"].objects

    @property
    def streams(self) -> dict[int, Object]:
        """By id."""
        return self.shelves["data-streams"].objects

    @property
    def reports(self) -> dict[int, Object]:
        """By id."""
        return self.shelves["reports"].objects

    # -- finding -------------------------------------------------------------------------------------------------------

    def sees(self, token: int, workspace_id: int) -> bool:
        """Whether this token may see the workspace."""
        visible = self.options.visible.get(token)
        return visible is None or workspace_id in visible

    def check_workspace(self, token: int, workspace_id: object) -> int:
        """The id, for a workspace there is and that the token may see; :class:`ApiError` otherwise."""
        if isinstance(workspace_id, str) and workspace_id.isdecimal():
            workspace_id = int(workspace_id)
        if not isinstance(workspace_id, int) or isinstance(workspace_id, bool):
            raise ApiError(422, "workspaceId is required")
        if workspace_id not in self.workspaces:
            raise ApiError(404, f"workspace {workspace_id} does not exist")
        if not self.sees(token, workspace_id):
            raise ApiError(self.options.invisible_status, f"no access to workspace {workspace_id}")
        return workspace_id

    def find(self, word: str, number: int, token: int) -> Object:
        """The object, there and visible; :class:`ApiError` otherwise."""
        found = self.shelves[word].objects.get(number)
        if found is None:
            raise ApiError(404, f"{word}: {number} does not exist")
        self.check_belongs(word, found, token)
        return found

    def check_belongs(self, word: str, found: Mapping[str, Any], token: int) -> None:
        """Whether the token sees the workspace that this belongs to, however far up; :class:`ApiError` if not."""
        if word == "workspaces":
            self.check_workspace(token, found["id"])
            return
        name, parent = self.parent(word)
        if parent in ("accounts", ""):
            return
        if parent == "workspaces":
            self.check_workspace(token, found.get(name))
            return
        number = found.get(name)
        if not isinstance(number, int):
            raise ApiError(422, f"{name} is required")
        self.find(parent, number, token)

    @staticmethod
    def parent(word: str) -> tuple[str, str]:
        """The field that holds what such an object belongs to, and the word for that; empty for accounts."""
        return ("", "") if word == "accounts" else _PARENTS.get(word, _TO_WORKSPACE)

    def model(self, workspace_id: int, word: str) -> dict[str, Object]:
        """The workspace's dimensions or measurements by system name."""
        key = (workspace_id, word)
        if key not in self.models:
            self.models[key] = data.model_of(word)
        return self.models[key]

    def rows(self, workspace_id: int, first: date, last: date) -> Iterator[Row]:
        """The workspace's data of these days; nothing is older than ``data_days``."""
        today = self.clock.today()
        oldest = today - timedelta(days=self.options.data_days)
        return data.rows(self.seed, workspace_id, max(first, oldest), min(last, today))

    def values_of(self, workspace_id: int, system_name: str) -> list[Cell]:
        """What a dimension takes, each value once."""
        return list(dict.fromkeys(row[system_name] for row in self.rows(workspace_id, date.min, date.max)))

    # -- making --------------------------------------------------------------------------------------------------------

    def new_stat(self, stream_id: int, start: date, end: date, user: int) -> Stat:
        """A job in the queue."""
        stat = Stat(self._next_stat, self.outcome(), self.clock.seconds(), stream_id, start, end, user)
        self._keep(stat)
        return stat

    def new_report_job(self, report: Object, why: str | None) -> ReportJob:
        """A report job in the queue; ``why`` it will fail, if it will."""
        final = "FAILURE" if why else self._one_of(self.options.report_outcomes)
        job = ReportJob(self._next_report_job, final, self.clock.seconds(), report["id"], dict(report), why)
        self.report_jobs[job.id] = job
        self._next_report_job += 1
        return job

    def forget_stream(self, stream_id: int) -> None:
        """The stream and its jobs are gone."""
        del self.streams[stream_id]
        for stat in self.stats_of.pop(stream_id, ()):
            self.stats.pop(stat.id, None)

    def outcome(self) -> str:
        """How the next job will end."""
        return self._one_of(self.options.outcomes)

    def _one_of(self, shares: Mapping[str, float]) -> str:
        return self.random.choices(list(shares), weights=list(shares.values()))[0]

    def _keep(self, stat: Stat) -> None:
        self.stats[stat.id] = stat
        self.stats_of[stat.stream_id].append(stat)
        self._next_stat = stat.id + 1

    # -- the beginning -------------------------------------------------------------------------------------------------

    def _populate(self) -> None:
        options, now = self.options, self.clock.millis()
        self._add("accounts", name="Acme Group")
        for number in range(options.tokens):
            self._add("users", email=f"user{number + 1}@acme.example", name=f"User {FIRST_USER + number}")
        self._add("permission-sets", name="Editors")
        for number in range(options.workspaces):
            workspace = self._add("workspaces", name=f"Acme {number + 1}")["id"]
            self._add("authentications", name="Analytics login", workspaceId=workspace)
            dimension = self._add("harmonized-dimensions", name="Market", workspaceId=workspace)["id"]
            self._add("patterns", name="Campaign split", workspaceId=workspace, harmonizedDimensionId=dimension)
            self._add("calculated-measurements", name="Click rate", workspaceId=workspace)
            dashboard = self._add("dashboards", name="Overview", workspaceId=workspace)["id"]
            self._add("pages", name="Page 1", workspaceId=workspace, dashboardId=dashboard)
        self._add_streams(now)

    def _add(self, word: str, **given: Any) -> Object:
        return self.shelves[word].add(given, FIRST_USER, self.clock.millis())

    def _add_streams(self, now: int) -> None:
        options = self.options
        shelf, workspaces = self.shelves["data-streams"], list(self.workspaces)
        yesterday = self.clock.today() - timedelta(days=1)
        first = yesterday - timedelta(days=_JOB_DAYS * options.jobs - 1)
        spans = list(windows(first, yesterday, _JOB_DAYS))
        done = self.clock.seconds() - _JOB_SECONDS
        for index in range(options.streams):
            files = options.file_every and (index + 1) % options.file_every == 0
            given: Object = {
                **(_FILES if files else {}),
                "name": f"{'TotalConnect' if files else 'GA'} - stream {index + 1}",
                "workspaceId": workspaces[index * len(workspaces) // options.streams],
                "enabled": not (options.disabled_every and (index + 1) % options.disabled_every == 0),
            }
            stream = shelf.add(given, FIRST_USER, now)
            if spans:
                stream.update(lastDataDate=yesterday.isoformat(), hasData=True)
            for start, end in spans:
                stat = Stat(self._next_stat, self.outcome(), done, stream["id"], start, end, FIRST_USER)
                stat.finish(done, _JOB_SECONDS)
                self._keep(stat)
