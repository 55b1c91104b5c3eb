"""Data streams and their jobs.

Contract: datorama sections 2.2, 2.3 and 3.2 to 3.7.
"""

from __future__ import annotations

import random
import re
from datetime import date
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.datorama.answers import ApiError, json_answer, nothing
from asyncconn.sandbox.datorama.files import bytes_of_csv, csv_pieces, file_answer, zipped
from asyncconn.sandbox.datorama.jobs import windows
from asyncconn.sandbox.datorama.resources import crud, user

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.datorama.jobs import Stat
    from asyncconn.sandbox.datorama.live import Live
    from asyncconn.sandbox.datorama.routes import Ask, Route
    from asyncconn.sandbox.exchange import Answer

__all__ = ["Streams", "read_range"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORD = "data-streams"


class Streams:
    """Streams, processing, reruns, job lists and downloads."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._options = live.options

    def routes(self) -> list[Route]:
        """All of the two sections."""
        one, api = "/v1/data-streams/{ds}", "/v1/data-streams/api/{ds}"
        of_workspace = "/v1/workspaces/{ws}/data-streams"
        create = crud(self._live, _WORD, "C", check=_check_new)
        return [
            ("GET", of_workspace, self._list),
            ("GET", one, self._get),
            *create,
            ("PUT", one, self._put),
            ("PATCH", one, self._patch),
            ("DELETE", one, self._delete),
            ("POST", f"{one}/process", self._process),
            ("POST", "/v1/data-streams/process", self._process_many),
            ("POST", f"{of_workspace}/delete-data", self._delete_data),
            ("GET", f"{of_workspace}/status/bulk", self._status),
            ("GET", f"{of_workspace}/{{ds}}", self._get_in_workspace),
            ("GET", f"{api}/mapping", self._mapping),
            ("PUT", f"{api}/mapping", self._put_mapping),
            ("POST", f"{api}/stats", self._api_stats),
            ("POST", f"{one}/stats", self._file_stats),
            ("GET", "/v1/data-stream-stats/{st}", self._stat),
            ("POST", f"{api}/rerun", self._rerun),
            ("POST", f"{api}/rerun-all", self._rerun_all),
            ("GET", "/v1/data-stream-stats/api/{st}/download", self._download_api),
            ("GET", "/v1/data-stream-stats/dynamic/{st}/download", self._download_files),
        ]

    # -- streams -------------------------------------------------------------------------------------------------------

    def _shown(self, stream: dict[str, Any], *, counts: bool = False) -> dict[str, Any]:
        """With what follows from its jobs. ``counts``: this is a read of them, by which they may move on."""
        now, last, pending = self._live.clock.seconds(), None, 0
        for stat in self._live.stats_of.get(stream["id"], ()):
            stat.look(self._options, now, counts=counts)
            if stat.ended_at is None:
                pending += 1
            elif last is None or stat.ended_at >= (last.ended_at or 0):
                last = stat
        run = {} if last is None else {"lastRunStatus": last.final == "SUCCESS"}
        return {**stream, **run, "pendingStatsCount": pending}

    def _list(self, ask: Ask) -> Answer:
        found = self._live.shelves[_WORD].of(self._live.check_workspace(ask.token, ask.id("ws")))
        return json_answer([self._shown(stream, counts=True) for stream in found])

    def _find(self, ask: Ask) -> dict[str, Any]:
        return self._live.find(_WORD, ask.id("ds"), ask.token)

    def _get(self, ask: Ask) -> Answer:
        return json_answer(self._shown(self._find(ask), counts=True))

    def _get_in_workspace(self, ask: Ask) -> Answer:
        stream = self._find(ask)
        if stream["workspaceId"] != ask.id("ws"):
            raise ApiError(404, f"stream {stream['id']} is not in workspace {ask.id('ws')}")
        return json_answer(self._shown(stream, counts=True))

    def _put(self, ask: Ask) -> Answer:
        stream = self._find(ask)
        self._live.shelves[_WORD].replace(stream, ask.body(dict), user(ask), self._live.clock.millis())
        return json_answer(self._shown(stream))

    def _patch(self, ask: Ask) -> Answer:
        stream = self._find(ask)
        self._live.shelves[_WORD].merge(stream, ask.body(dict), user(ask), self._live.clock.millis())
        return json_answer(self._shown(stream))

    def _delete(self, ask: Ask) -> Answer:
        self._live.forget_stream(self._find(ask)["id"])
        return nothing()

    def _delete_data(self, ask: Ask) -> Answer:
        self._live.check_workspace(ask.token, ask.id("ws"))
        request = ask.body(dict)
        self._live.deleted_data.append(request)
        return json_answer(request)

    def _status(self, ask: Ask) -> Answer:
        workspace = self._live.check_workspace(ask.token, ask.id("ws"))
        asked = ask.query("ids")
        wanted = None if asked is None else {int(each) for each in asked.split(",") if each.strip().isdecimal()}
        found = []
        for stream in self._live.shelves[_WORD].of(workspace):
            if wanted is None or stream["id"] in wanted:
                now, stats = self._live.clock.seconds(), self._live.stats_of.get(stream["id"], ())
                run = [stat.look(self._options, now) for stat in stats][-1] if stats else "NONE"
                status = "ENABLED" if stream["enabled"] else "DISABLED"
                found.append({"id": stream["id"], "runStatus": run, "status": status})
        return json_answer(found)

    def _mapping(self, ask: Ask) -> Answer:
        stream = self._find_api(ask)
        made = {"dataStreamId": stream["id"], "mapping": {"Day": "DAY", "Clicks": "DELIVERY_CLICKS"}}
        return json_answer(self._live.mappings.setdefault(stream["id"], made))

    def _put_mapping(self, ask: Ask) -> Answer:
        stream = self._find_api(ask)
        self._live.mappings[stream["id"]] = ask.body(dict)
        return json_answer(self._live.mappings[stream["id"]])

    # -- processing ----------------------------------------------------------------------------------------------------

    def _process(self, ask: Ask) -> Answer:
        stream = self._find(ask)
        start, end = read_range(ask.body(dict))
        if _is_files(stream) and self._options.file_process == "refuse":
            raise ApiError(422, "file based streams cannot be processed")
        _check_enabled(stream)
        return self._answer_stats(self._queue(stream, start, end, user(ask)))

    def _process_many(self, ask: Ask) -> Answer:
        request = ask.body(dict)
        ids = request.get("dataStreamIds")
        if not isinstance(ids, list) or not ids or not all(type(each) is int for each in ids):
            raise ApiError(422, "dataStreamIds is a list of ids")
        start, end = read_range(request)
        streams = [self._live.find(_WORD, each, ask.token) for each in dict.fromkeys(ids)]
        if self._options.file_batch == "refuse" and any(map(_is_files, streams)):
            raise ApiError(422, "only streams of API connectors can be processed together")
        if self._options.file_batch == "skip":
            streams = [stream for stream in streams if not _is_files(stream)]
        for stream in streams:
            _check_enabled(stream)
        stats = [stat for stream in streams for stat in self._queue(stream, start, end, user(ask))]
        match self._options.batch_answer:
            case "list":
                return self._answer_stats(stats)
            case "object":
                return json_answer({"dataStreamIds": [stream["id"] for stream in streams], "status": "PENDING"})
        return nothing(200)

    def _queue(self, stream: dict[str, Any], start: date, end: date, who: int) -> list[Stat]:
        days = stream.get("fetchDaySpan") or stream.get("defaultFetchDaySpan") or 10
        return [self._live.new_stat(stream["id"], first, last, who) for first, last in windows(start, end, days)]

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _find_api(self, ask: Ask) -> dict[str, Any]:
        stream = self._find(ask)
        if _is_files(stream):
            raise ApiError(404, f"stream {stream['id']} is file based")
        return stream

    def _api_stats(self, ask: Ask) -> Answer:
        return self._page(ask, self._find(ask) if self._options.file_jobs == "api" else self._find_api(ask))

    def _file_stats(self, ask: Ask) -> Answer:
        stream = self._find(ask)
        if not _is_files(stream):
            raise ApiError(404, f"stream {stream['id']} is not file based")
        return self._page(ask, stream) if self._options.file_jobs == "files" else json_answer([])

    def _page(self, ask: Ask, stream: dict[str, Any]) -> Answer:
        request = ask.body(dict)
        size, number = request.get("pageSize", 100), request.get("pageNumber", 1)
        if type(size) is not int or type(number) is not int or size < 1 or number < 1:
            raise ApiError(422, "pageSize and pageNumber are whole numbers from 1")
        size = min(size, self._options.max_page_size or size)
        stats = list(self._live.stats_of.get(stream["id"], ()))
        match self._options.page_order:
            case "descending":
                stats.reverse()
            case "shuffled":
                random.Random(stream["id"]).shuffle(stats)  # noqa: S311 - the same for every page
        return self._answer_stats(stats[(number - 1) * size : number * size], counts=True)

    def _stat(self, ask: Ask) -> Answer:
        stat, _ = self._find_stat(ask)
        return json_answer(stat.shown(self._options, self._live.clock.seconds()))

    def _rerun(self, ask: Ask) -> Answer:
        stream = self._find_api(ask)
        stats = []
        for number in ask.body(list):
            stat = self._live.stats.get(number) if type(number) is int else None
            if stat is None or stat.stream_id != stream["id"]:
                raise ApiError(404, f"stream {stream['id']} has no job {number}")
            stats.append(stat)
        return self._again(stats, user(ask))

    def _rerun_all(self, ask: Ask) -> Answer:
        return self._again(list(self._live.stats_of.get(self._find_api(ask)["id"], ())), user(ask))

    def _again(self, stats: Iterable[Stat], who: int) -> Answer:
        if self._options.rerun_ids == "renew":
            return self._answer_stats(
                [self._live.new_stat(each.stream_id, each.start, each.end, who) for each in stats]
            )
        stats = list(stats)
        for stat in stats:
            stat.restart(self._live.outcome(), self._live.clock.seconds())
        return self._answer_stats(stats)

    def _answer_stats(self, stats: Iterable[Stat], *, counts: bool = False) -> Answer:
        now = self._live.clock.seconds()
        return json_answer([stat.shown(self._options, now, counts=counts) for stat in stats])

    # -- downloads -----------------------------------------------------------------------------------------------------

    def _find_stat(self, ask: Ask) -> tuple[Stat, dict[str, Any]]:
        stat = self._live.stats.get(ask.id("st"))
        if stat is None:
            raise ApiError(404, f"job {ask.id('st')} does not exist")
        return stat, self._live.find(_WORD, stat.stream_id, ask.token)

    def _download_api(self, ask: Ask) -> Answer:
        return self._download(ask, files=False)

    def _download_files(self, ask: Ask) -> Answer:
        return self._download(ask, files=True)

    def _download(self, ask: Ask, *, files: bool) -> Answer:
        stat, stream = self._find_stat(ask)
        if _is_files(stream) is not files:
            raise ApiError(404, f"stream {stream['id']} is {'not ' if files else ''}file based")
        if stat.look(self._options, self._live.clock.seconds(), counts=False) != "SUCCESS":
            raise ApiError(404, f"job {stat.id} has no data")
        wanted = self._options.download_bytes if stat.download_bytes is None else stat.download_bytes
        size, pieces = bytes_of_csv(wanted), csv_pieces(stat.start.isoformat(), wanted)
        return file_answer(pieces, size) if files else zipped(f"{stat.id}.csv", pieces, size)


def read_range(request: dict[str, Any]) -> tuple[date, date]:
    """``startDate`` and ``endDate``; :class:`ApiError` 422 when they are no dates, or in the wrong order."""
    found = []
    for name in ("startDate", "endDate"):
        text = request.get(name)
        try:
            if not isinstance(text, str) or not _DATE.fullmatch(text):
                raise ValueError
            found.append(date.fromisoformat(text))
        except ValueError:
            raise ApiError(422, f"{name} is not a date: YYYY-MM-DD") from None
    if found[1] < found[0]:
        raise ApiError(422, "endDate is before startDate")
    return found[0], found[1]


def _is_files(stream: dict[str, Any]) -> bool:
    return bool(stream.get("dataSourceName") == "TotalConnect")


def _check_enabled(stream: dict[str, Any]) -> None:
    if not stream.get("enabled"):
        raise ApiError(422, f"stream {stream['id']} is disabled")


def _check_new(given: dict[str, Any]) -> None:
    if not given.get("name"):
        raise ApiError(422, "name is required")
