"""The table of Datorama's calls. Contract: datorama section 2; its row names stand behind them.

What is marked unverified there is marked so here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asyncconn.errors import ConfigError
from asyncconn.http.routes import Route, Routes, number

__all__ = ["PATHS", "Paths", "number", "numbers"]


def _collection(noun: str, path: str) -> dict[str, Route]:
    """The five verbs of things with an id. A patch says the same however often it is sent."""
    one = f"{path}/{{id:int}}"
    return {
        f"{noun}.get": Route("GET", one),
        f"{noun}.create": Route("POST", path),
        f"{noun}.patch": Route("PATCH", one, idempotent=True),
        f"{noun}.replace": Route("PUT", one),
        f"{noun}.delete": Route("DELETE", one),
    }


_IN_WORKSPACE = "/v1/workspaces/{workspace_id:int}"
_IN_ACCOUNT = "/v1/accounts/{account_id:int}"

PATHS: dict[str, Route] = {
    **_collection("workspaces", "/v1/workspaces"),  # W2 to W6
    "workspaces.list": Route("GET", "/v1/workspaces"),  # W1
    "workspaces.list_of_account": Route("GET", f"{_IN_ACCOUNT}/workspaces"),  # W7
    **_collection("streams", "/v1/data-streams"),  # D2 to D6
    "streams.list": Route("GET", f"{_IN_WORKSPACE}/data-streams"),  # D1
    "streams.process": Route("POST", "/v1/data-streams/{id:int}/process"),  # D7
    "streams.process_batch": Route("POST", "/v1/data-streams/process"),  # D8
    "streams.status": Route("GET", f"{_IN_WORKSPACE}/data-streams/status/bulk"),  # D10
    "streams.mapping": Route("GET", "/v1/data-streams/api/{id:int}/mapping"),  # D12: unverified
    "streams.replace_mapping": Route("PUT", "/v1/data-streams/api/{id:int}/mapping"),  # D13: unverified
    "jobs.list": Route("POST", "/v1/data-streams/api/{stream_id:int}/stats", reads=True),  # J1
    "jobs.list_of_files": Route("POST", "/v1/data-streams/{stream_id:int}/stats", reads=True),  # J2
    "jobs.get": Route("GET", "/v1/data-stream-stats/{id:int}"),  # J3
    "jobs.rerun": Route("POST", "/v1/data-streams/api/{stream_id:int}/rerun"),  # J4
    "jobs.rerun_all": Route("POST", "/v1/data-streams/api/{stream_id:int}/rerun-all"),  # J5
    "jobs.download": Route("GET", "/v1/data-stream-stats/api/{id:int}/download"),  # J6: zip
    "jobs.download_of_files": Route("GET", "/v1/data-stream-stats/dynamic/{id:int}/download"),  # J7: CSV
    "dimensions.list": Route("GET", f"{_IN_WORKSPACE}/dimensions"),  # M1
    "dimensions.replace": Route("PUT", f"{_IN_WORKSPACE}/dimensions/{{system_name:str}}"),  # M2
    "dimensions.values": Route("POST", f"{_IN_WORKSPACE}/dimensions/{{system_name:str}}/values", reads=True),  # M3
    "measurements.list": Route("GET", f"{_IN_WORKSPACE}/measurements"),  # M4
    "measurements.replace": Route("PUT", f"{_IN_WORKSPACE}/measurements/{{system_name:str}}"),  # M5
    **_collection("calculated_measurements", "/v1/calculated-measurements"),
    "calculated_measurements.list": Route("GET", f"{_IN_WORKSPACE}/calculated-measurements"),  # M6
    **_collection("filtered_measurements", "/v1/filtered-measurements"),
    "filtered_measurements.list": Route("GET", f"{_IN_WORKSPACE}/filtered-measurements"),
    **_collection("calculated_dimensions", "/v1/calculated-dimensions"),
    "calculated_dimensions.list": Route("GET", f"{_IN_WORKSPACE}/calculated-dimensions"),  # M9
    "harmonized_dimensions.list": Route("GET", f"{_IN_WORKSPACE}/harmonized-dimensions"),  # M11
    "patterns.list": Route("GET", f"{_IN_WORKSPACE}/patterns"),  # M12
    "patterns.create": Route("POST", "/v1/harmonization/patterns"),  # M13
    "accounts.list": Route("GET", "/v1/accounts"),  # A1
    "accounts.get": Route("GET", "/v1/accounts/{id:int}"),
    "accounts.connect": Route("POST", f"{_IN_ACCOUNT}/connectors/{{connector_uuid:str}}"),  # A5
    **_collection("users", "/v1/users"),
    "users.list": Route("GET", f"{_IN_ACCOUNT}/users"),  # A2
    **_collection("permission_sets", "/v1/permission-sets"),  # A4
    "permission_sets.list": Route("GET", f"{_IN_ACCOUNT}/permission-sets"),
    **_collection("authentications", "/v1/authentications"),  # C1 to C3
    "authentications.list": Route("GET", f"{_IN_WORKSPACE}/authentications"),
    "authentications.create": Route("POST", f"{_IN_WORKSPACE}/authentications"),
    "authentications.profiles": Route("GET", "/v1/authentications/{id:int}/profiles"),
    "authentications.sub_profiles": Route("POST", "/v1/authentications/{id:int}/sub-profiles", reads=True),
    **_collection("dashboards", "/v1/dashboards"),
    "dashboards.list": Route("GET", "/v1/dashboards"),
    "dashboards.list_of_workspace": Route("GET", f"{_IN_WORKSPACE}/dashboards"),
    "dashboards.list_of_account": Route("GET", f"{_IN_ACCOUNT}/dashboards"),
    "dashboards.hierarchy": Route("GET", f"{_IN_WORKSPACE}/dashboards/hierarchy"),
    **_collection("pages", "/v1/pages"),
    "pages.list": Route("GET", "/v1/dashboards/{dashboard_id:int}/pages"),
    "pages.replace_widgets": Route("PUT", "/v1/pages/{id:int}/widgets/bulk"),
    "pages.content": Route("GET", "/v1/pages/{id:int}/content"),
    **_collection("reports", "/v1/reports"),  # R1 to R4
    "reports.list": Route("GET", f"{_IN_WORKSPACE}/reports"),
    "reports.run": Route("POST", "/v1/reports/{report_id:int}/process"),  # R5
    "reports.job": Route("GET", "/v1/report-jobs/{job_id:int}"),  # R6
    "reports.download": Route("GET", "/v1/report-jobs/{job_id:int}/download"),  # R7
    "reports.jobs": Route("GET", "/v1/reports/{report_id:int}/report-jobs"),  # R8
    **_collection("schedulers", "/v1/report-schedulers"),  # R9
    "schedulers.list": Route("GET", "/v1/reports/{report_id:int}/report-schedulers"),
    "queries.run": Route("POST", "/v1/query", reads=True, limit="query"),  # Q1
    "queries.batch": Route("POST", "/v1/query-batch", reads=True, limit="query"),  # Q2
    "reference.get": Route("GET", "/v1/reference/{name:str}"),
}


class Paths(Routes):
    """Every call of Datorama by its name, of which each can be replaced.

    >>> paths = Paths().with_(streams_mapping=("GET", "/v1/data-streams/{id}/mapping"))
    >>> paths.path("streams.mapping", id=7700101)
    '/v1/data-streams/7700101/mapping'
    """

    owner = "Datorama's table"

    def __init__(self) -> None:
        super().__init__(PATHS)


def numbers(values: Any, what: str = "id") -> list[int]:
    """Several ids. Raises ``ConfigError``, also for a text, whose digits would be taken for ids one by one."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigError(f"ids are a list of whole numbers, not {values!r}")
    return [number(value, what) for value in values]
