"""Every path of the contract's section 2, as the client asks for it; and what is refused instead of being asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply, Seen

from asyncconn.core.retrying import ONCE
from asyncconn.datorama import DataStream, Datorama, Job, paths
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKEN = "5f0e6a52-1f6b-4c83-9c6e-5a2f6f0d1c11"
F = {"name": "x", "workspaceId": 4}
QUERY = {"workspaceId": 4, "dateRange": "YESTERDAY", "measurements": [{"name": "Clicks"}], "dimensions": ["Day"]}
API = DataStream.model_validate({"id": 6, "dataSourceName": "Google Analytics", "workspaceId": 4})
FILES = DataStream.model_validate({"id": 7, "dataSourceName": "TotalConnect", "workspaceId": 4})


def crud(noun: str, path: str, *, verbs: str = "GCPUD") -> list[tuple[str, str, Any]]:
    """Get, create, patch, replace (PUT), delete."""
    made: dict[str, tuple[str, str, Any]] = {
        "G": ("GET", f"{path}/5", lambda d: getattr(d, noun).get(5)),
        "C": ("POST", path, lambda d: getattr(d, noun).create(F)),
        "P": ("PATCH", f"{path}/5", lambda d: getattr(d, noun).patch(5, F)),
        "U": ("PUT", f"{path}/5", lambda d: getattr(d, noun).replace(5, F)),
        "D": ("DELETE", f"{path}/5", lambda d: getattr(d, noun).delete(5)),
    }
    return [made[verb] for verb in verbs]


ROWS: list[tuple[str, str, Callable[[Datorama], Awaitable[Any]]]] = [
    ("GET", "/v1/workspaces", lambda d: d.workspaces.list().collect()),
    ("GET", "/v1/accounts/9/workspaces", lambda d: d.workspaces.list(9).collect()),
    *crud("workspaces", "/v1/workspaces"),
    ("GET", "/v1/workspaces/4/data-streams", lambda d: d.streams.list(4).collect()),
    *crud("streams", "/v1/data-streams", verbs="GCPD"),
    ("PATCH", "/v1/data-streams/5", lambda d: d.streams.enable(5)),
    ("PATCH", "/v1/data-streams/5", lambda d: d.streams.disable(5)),
    ("POST", "/v1/data-streams/5/process", lambda d: d.streams.process(5, "2026-01-01", "2026-01-02")),
    ("POST", "/v1/data-streams/process", lambda d: d.streams.process_batch([5], "2026-01-01", "2026-01-02")),
    ("GET", "/v1/workspaces/4/data-streams/status/bulk?ids=5,6", lambda d: d.streams.status(4, [5, 6])),
    ("GET", "/v1/data-streams/api/5/mapping", lambda d: d.streams.mapping(5)),
    ("PUT", "/v1/data-streams/api/5/mapping", lambda d: d.streams.replace_mapping(5, {})),
    ("POST", "/v1/data-streams/api/6/stats", lambda d: d.jobs.list(API).collect()),
    ("POST", "/v1/data-streams/7/stats", lambda d: d.jobs.list(FILES).collect()),
    ("GET", "/v1/data-stream-stats/8", lambda d: d.jobs.get(8)),
    ("POST", "/v1/data-streams/api/5/rerun", lambda d: d.jobs.rerun(5, [8])),
    ("POST", "/v1/data-streams/api/5/rerun-all", lambda d: d.jobs.rerun_all(5)),
    ("GET", "/v1/workspaces/4/dimensions", lambda d: d.dimensions.list(4).collect()),
    ("GET", "/v1/workspaces/4/dimensions?type=TEXT", lambda d: d.dimensions.list(4, type="TEXT").collect()),
    ("PUT", "/v1/workspaces/4/dimensions/A%2FB%20%C3%A4", lambda d: d.dimensions.replace(4, "A/B ä", F)),
    ("POST", "/v1/workspaces/4/dimensions/DAY/values", lambda d: d.dimensions.values(4, "DAY", {})),
    ("GET", "/v1/workspaces/4/measurements", lambda d: d.measurements.list(4).collect()),
    ("PUT", "/v1/workspaces/4/measurements/CLICKS", lambda d: d.measurements.replace(4, "CLICKS", F)),
    ("GET", "/v1/workspaces/4/calculated-measurements", lambda d: d.calculated_measurements.list(4).collect()),
    *crud("calculated_measurements", "/v1/calculated-measurements", verbs="CPUD"),
    ("GET", "/v1/workspaces/4/filtered-measurements", lambda d: d.filtered_measurements.list(4).collect()),
    *crud("filtered_measurements", "/v1/filtered-measurements", verbs="CPUD"),
    ("GET", "/v1/workspaces/4/calculated-dimensions", lambda d: d.calculated_dimensions.list(4).collect()),
    *crud("calculated_dimensions", "/v1/calculated-dimensions", verbs="CPUD"),
    ("GET", "/v1/workspaces/4/harmonized-dimensions", lambda d: d.harmonized_dimensions.list(4).collect()),
    ("GET", "/v1/workspaces/4/patterns", lambda d: d.patterns.list(4).collect()),
    ("POST", "/v1/harmonization/patterns", lambda d: d.patterns.create(F)),
    ("GET", "/v1/accounts", lambda d: d.accounts.list().collect()),
    ("GET", "/v1/accounts/9", lambda d: d.accounts.get(9)),
    ("POST", "/v1/accounts/9/connectors/aa-bb", lambda d: d.accounts.connect(9, "aa-bb")),
    ("GET", "/v1/accounts/9/users", lambda d: d.users.list(9).collect()),
    *crud("users", "/v1/users"),
    ("GET", "/v1/accounts/9/permission-sets", lambda d: d.permission_sets.list(9).collect()),
    *crud("permission_sets", "/v1/permission-sets", verbs="GCUD"),
    ("GET", "/v1/workspaces/4/authentications?dataSourceId=1", lambda d: d.authentications.list(4, 1).collect()),
    ("POST", "/v1/workspaces/4/authentications", lambda d: d.authentications.create(F)),
    *crud("authentications", "/v1/authentications", verbs="GPUD"),
    ("GET", "/v1/authentications/5/profiles", lambda d: d.authentications.profiles(5)),
    ("POST", "/v1/authentications/5/sub-profiles", lambda d: d.authentications.sub_profiles(5, [{}])),
    ("GET", "/v1/dashboards", lambda d: d.dashboards.list().collect()),
    ("GET", "/v1/workspaces/4/dashboards", lambda d: d.dashboards.list(workspace_id=4).collect()),
    ("GET", "/v1/accounts/9/dashboards", lambda d: d.dashboards.list(account_id=9).collect()),
    ("GET", "/v1/workspaces/4/dashboards/hierarchy", lambda d: d.dashboards.hierarchy(4)),
    *crud("dashboards", "/v1/dashboards"),
    ("GET", "/v1/dashboards/5/pages", lambda d: d.dashboards.pages.list(5).collect()),
    ("POST", "/v1/pages", lambda d: d.dashboards.pages.create(F)),
    ("POST", "/v1/pages?templateId=3", lambda d: d.dashboards.pages.create(F, template_id=3)),
    ("PATCH", "/v1/pages/5", lambda d: d.dashboards.pages.patch(5, F)),
    ("DELETE", "/v1/pages/5", lambda d: d.dashboards.pages.delete(5)),
    ("PUT", "/v1/pages/5/widgets/bulk", lambda d: d.dashboards.pages.replace_widgets(5, [{}])),
    ("GET", "/v1/pages/5/content", lambda d: d.dashboards.pages.content(5)),
    ("GET", "/v1/workspaces/4/reports", lambda d: d.reports.list(4).collect()),
    *crud("reports", "/v1/reports"),
    ("POST", "/v1/reports/5/process", lambda d: d.reports.run(5)),
    ("GET", "/v1/report-jobs/6", lambda d: d.reports.job(6)),
    ("GET", "/v1/reports/5/report-jobs", lambda d: d.reports.jobs(5).collect()),
    ("GET", "/v1/reports/5/report-schedulers", lambda d: d.reports.schedulers.list(5).collect()),
    (
        "GET",
        "/v1/reports/5/report-schedulers?includeOnlyActive=true",
        lambda d: d.reports.schedulers.list(5, only_active=True).collect(),
    ),
    ("POST", "/v1/report-schedulers", lambda d: d.reports.schedulers.create(F)),
    ("PATCH", "/v1/report-schedulers/5", lambda d: d.reports.schedulers.patch(5, F)),
    ("POST", "/v1/query", lambda d: d.query(QUERY)),
    ("POST", "/v1/query?useSystemNames=true", lambda d: d.query(QUERY, system_names=True)),
    ("POST", "/v1/query-batch", lambda d: d.queries.batch([QUERY])),
    ("GET", "/v1/reference/time-zones", lambda d: d.reference.time_zones()),
    ("GET", "/v1/reference/currencies", lambda d: d.reference.currencies()),
    ("GET", "/v1/reference/cultures", lambda d: d.reference.cultures()),
    ("GET", "/v1/reference/verticals", lambda d: d.reference.verticals()),
    ("GET", "/v1/reference/data-sources", lambda d: d.reference.data_sources()),
    ("GET", "/v1/reference/languages", lambda d: d.reference.languages()),
]

ONE = b'{"id": 5}'
RESULT = b'{"queryResponseData": {"headers": [], "rows": []}, "errors": []}'


def fitting(seen: Seen) -> Reply:
    """An answer that whoever asked can read."""
    if seen.method == "DELETE":
        return Reply(204, b"")
    if seen.path.endswith("/hierarchy"):
        return Reply(200, ONE)
    if seen.path == "/v1/query":
        return Reply(200, RESULT)
    if seen.path == "/v1/query-batch":
        return Reply(200, b"[" + RESULT + b"]")
    last = seen.path.rpartition("/")[2]
    if last == "hierarchy":
        return Reply(200, b"{}")
    if last == "stats":
        return Reply(200, b"[%s]" % ONE)
    single = last.isdecimal() or (seen.method == "POST" and last not in ("stats", "process", "rerun", "rerun-all"))
    return Reply(
        200, ONE if single or seen.method in ("PUT", "PATCH") else b"[]" if last != "process" else b"[%s]" % ONE
    )


@pytest.mark.parametrize(("method", "target", "call"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
async def test_each_row_of_the_contract_has_a_method_that_asks_for_it(method: str, target: str, call: Any) -> None:
    async with Loopback(otherwise=fitting) as server, Datorama(TOKEN, base_url=server.url, retry=ONCE) as datorama:
        await call(datorama)
    assert [(seen.method, seen.target) for seen in server.seen] == [(method, target)]


async def test_downloads_are_where_the_kind_of_stream_says(tmp_path: Any) -> None:
    api = DataStream.model_validate({"id": 5, "workspaceId": 4})
    file = Reply(200, b"x", {"Content-Type": "text/csv"})
    async with Loopback(otherwise=file) as server, Datorama(TOKEN, base_url=server.url, retry=ONCE) as datorama:
        await datorama.jobs.download(8, tmp_path, stream=api)
        await datorama.jobs.download(8, tmp_path, stream=FILES)
        await datorama.reports.download(6, tmp_path)
    assert [seen.target for seen in server.seen] == [
        "/v1/data-stream-stats/api/8/download",
        "/v1/data-stream-stats/dynamic/8/download",
        "/v1/report-jobs/6/download",
    ]


async def test_permission_sets_have_no_partial_update() -> None:
    async with Loopback() as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(ConfigError, match="use replace"):
            await datorama.permission_sets.patch(5, F)
    assert not server.seen


@pytest.mark.parametrize("bad", ["", "abc", "-1", -1, 1.5, True, None, "1/../2", "\u0661", [], "9" * 5000])
def test_an_id_that_is_none_makes_no_path(bad: Any) -> None:
    table = paths.Paths()
    holes = {name: re.findall(r"{(\w+):int}", route.path) for name, route in table.entries.items()}
    assert sum(map(len, holes.values())) > 40
    for name, ids in holes.items():
        for hole in ids:
            good = {"system_name": "x", "connector_uuid": "x", **dict.fromkeys(ids, 1)}
            with pytest.raises(ConfigError, match=f"{hole} must be a whole number"):
                table.path(name, **{**good, hole: bad})


@pytest.mark.parametrize("good", [7, "7", " 7 ", 0])
def test_an_id_may_come_as_text(good: Any) -> None:
    assert paths.number(good) == int(good)


@pytest.mark.parametrize("bad", ["", " ", ".", "..", None, 7])
def test_a_name_that_is_none_makes_no_path(bad: Any) -> None:
    with pytest.raises(ConfigError, match="system_name must be a name"):
        paths.Paths().path("dimensions.values", workspace_id=4, system_name=bad)


async def test_a_path_of_the_table_is_replaced_and_the_call_goes_there() -> None:
    moved = paths.Paths().with_({"workspaces.list": ("GET", "/v2/brands")}, streams_mapping=("GET", "/v1/mapping/{id}"))
    tokens = [TOKEN, TOKEN[::-1]]
    async with (
        Loopback(Reply(200, b'[{"id": 4}]'), Reply(200, b"[]"), otherwise=Reply(200, b"{}")) as server,
        Datorama(tokens, base_url=server.url, retry=ONCE, paths=moved) as datorama,
    ):
        await datorama.streams.mapping(5, workspace_id=4)
        assert datorama.paths.resolve("streams.mapping", id=5) == ("GET", "/v1/mapping/5")
    assert [seen.target for seen in server.seen] == ["/v2/brands", "/v2/brands", "/v1/mapping/5"]


def test_what_may_be_repeated_is_said_by_the_table() -> None:
    table = paths.Paths()
    harmless = {name for name in table.entries if table.options(name)["idempotent"]}
    queueing = {name for name in table.entries if re.search("create|process|rerun|connect|reports.run", name)}
    assert len(queueing) > 12
    assert queueing.isdisjoint(harmless)
    assert {"jobs.list", "streams.patch", "users.replace", "queries.run"} <= harmless
    queries = {name for name in table.entries if table.options(name)["limit"] == "query"}
    assert queries == {"queries.run", "queries.batch"}


BAD_CALLS: dict[str, Callable[[Datorama], Awaitable[Any]]] = {
    "an id that is none": lambda d: d.streams.get("abc"),  # type: ignore[arg-type] # what users do
    "a text instead of jobs": lambda d: d.jobs.rerun(5, "900000003,900000004"),  # type: ignore[arg-type] # what users do
    "a job of another stream": lambda d: d.jobs.rerun(5, [8, Job(id=9, data_stream_id=6)]),
    "a text instead of a list of streams": lambda d: d.streams.status(4, "12"),  # type: ignore[arg-type] # the same
    "no job to rerun": lambda d: d.jobs.rerun(5, []),
    "no stream to process": lambda d: d.streams.process_batch([], "2026-01-01", "2026-01-01"),
    "a bad date": lambda d: d.streams.process(5, "1.1.2026", "2026-01-01"),
    "a reversed range": lambda d: d.streams.process_batch([5], "2026-01-02", "2026-01-01"),
    "a file-based stream in a batch": lambda d: d.streams.process_batch([FILES], "2026-01-01", "2026-01-01"),
    "a stream without a name": lambda d: d.streams.create({"workspaceId": 4, "name": " "}),
    "a stream without a workspace": lambda d: d.streams.create({"name": "x"}),
    "no change": lambda d: d.streams.patch(5, {}),
    "changes that are no mapping": lambda d: d.reports.patch(5, ["name"]),  # type: ignore[arg-type] # what users do
    "a page size of nothing": lambda d: d.jobs.list(5, page_size=0).collect(),
    "a query without a workspace": lambda d: d.query({"dateRange": "YESTERDAY", "dimensions": ["Day"]}),
    "a query without a range": lambda d: d.query({"workspaceId": 4, "dimensions": ["Day"]}),
    "a query for nothing": lambda d: d.query({"workspaceId": 4, "dateRange": "YESTERDAY"}),
    "a query that is no mapping": lambda d: d.query("Clicks"),  # type: ignore[arg-type] # what users do
    "a download of a job of an unknown stream": lambda d: d.jobs.download(8, "x.zip"),
    "a reference list without a name": lambda d: d.reference.get(""),
}


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
async def test_bad_input_is_an_error_before_anything_is_sent(call: Any) -> None:
    async with Loopback(otherwise=fitting) as server, Datorama(TOKEN, base_url=server.url) as datorama:
        with pytest.raises(ConfigError):
            await call(datorama)
    assert not server.seen


@pytest.mark.parametrize("token", ["", [], ["x", ""], None, 7, ["a", None], "line\nbreak", ["same", "same"]])
def test_a_token_that_cannot_be_one_is_refused(token: Any) -> None:
    with pytest.raises(ConfigError):
        Datorama(token)


def test_an_unknown_region_is_refused_unless_an_address_replaces_it() -> None:
    with pytest.raises(ConfigError, match="no region 'mars'"):
        Datorama(TOKEN, region="mars")
    assert Datorama(TOKEN, region="eu2").http.base_url == "https://api-eu2.datorama.com"
    assert Datorama(TOKEN).http.base_url == "https://api.datorama.com"
    assert Datorama(TOKEN, region="mars", base_url="http://127.0.0.1:9/").http.base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(("asked", "sent"), [(False, None), (True, "true")])
async def test_the_accounts_sandbox_is_asked_for_by_a_header(asked: bool, sent: str | None) -> None:
    async with (
        Loopback(otherwise=fitting) as server,
        Datorama(TOKEN, base_url=server.url, sandbox_mode=asked) as datorama,
    ):
        await datorama.accounts.list().collect()
    assert server.seen[0].headers.get("sandbox-mode") == sent
