"""The path table: what it says, what it takes, and what it learns from an OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.paths import PATHS_V1, PATHS_V2, Paths
from asyncconn.errors import ConfigError
from asyncconn.http.routes import Route


@pytest.mark.parametrize(
    ("name", "version", "capture"),
    [
        ("session.versions", "v2", CAPTURES["session_versions"]),
        ("session.ping", "v2", CAPTURES["session_ping"]),
        ("session.discovery", "v2", CAPTURES["session_discovery"]),
        ("autoconfig.connect", "v2", CAPTURES["autoconfig"]["connect_gen3"]),
        ("autoconfig.connect", "v2", CAPTURES["autoconfig"]["connect_gen2"]),
        ("autoconfig.connected", "v2", CAPTURES["autoconfig"]["connected_poll"]),
        ("autoconfig.disconnect", "v2", CAPTURES["autoconfig"]["disconnect"]),
        ("limits.create", "v1", CAPTURES["v1_limit"]),
        ("structures.save", "v2", CAPTURES["v2_structures_save"]),
        ("limits.save", "v2", CAPTURES["v2_limits_save"]),
        ("evaluate.limits", "v2", CAPTURES["evaluate"]),
    ],
)
def test_methods_and_paths_are_those_of_the_samples(name: str, version: str, capture: dict[str, Any]) -> None:
    paths, request = Paths(version), capture["request"]

    assert paths.method(name) == request["method"]
    assert paths.path(name, pivot="/activeviam/pivot/rest/v10") == request["path"].partition("?")[0]


@pytest.mark.parametrize(
    ("name", "version", "method", "path"),
    [
        ("evaluate.roll_date", "v2", "POST", "/custom/rest/load-controller/execute"),
        ("export", "v2", "POST", "/limits/rest/v2/limitDefinition/export"),
        ("export", "v1", "POST", "/limits/rest/v1/limitDefinition/export"),
        ("workflow.can_start", "v1", "GET", "/limit-process-definition/canStart"),
    ],
)
def test_paths_that_are_documented_are_in_the_table(name: str, version: str, method: str, path: str) -> None:
    assert (Paths(version).method(name), Paths(version).path(name)) == (method, path)


def test_without_the_versions_the_path_of_the_session_is_the_one_that_is_known() -> None:
    assert Paths().path("session.pivot") == "/activeviam/pivot/rest/v10"


def test_ids_are_one_segment_whatever_is_in_them() -> None:
    assert Paths().path("structures.get", structureId="a/b c?d#e%") == (
        "/limits/rest/v2/limitDefinition/structure/a%2Fb%20c%3Fd%23e%25"
    )
    assert Paths().path("incidents.act", incidentKey=7, action="x") == "/limits/rest/v2/incidents/7/actions/x"


@pytest.mark.parametrize("value", ["", " ", ".", "..", None, True, 1.5, [], b"x"])
def test_an_id_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="structureId"):
        Paths().path("structures.get", structureId=value)


def test_an_entry_is_replaced_and_the_others_stay() -> None:
    paths = Paths().with_({"structures.list": ("POST", "/my/structures")}, workflow_can_start=("GET", "{rest}/may"))

    assert (paths.method("structures.list"), paths.path("structures.list")) == ("POST", "/my/structures")
    assert paths.path("workflow.can_start") == "/limits/rest/v2/may"
    changed = {"structures.list", "workflow.can_start"}
    assert {name for name in PATHS_V2 if paths.entries[name] != PATHS_V2[name]} == changed
    assert Paths().method("structures.list") == "GET"


def test_a_call_that_limits_1_does_not_have_can_be_given_to_it() -> None:
    paths = Paths("v1")
    with pytest.raises(ConfigError, match=r"v1 has no structures.list.*with_"):
        paths.path("structures.list")

    assert paths.with_(structures_list=("GET", "{rest}/all")).path("structures.list") == "/limits/rest/v1/all"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nothing": ("GET", "/x")}, "no path 'nothing'"),
        ({"structures.get": ("FETCH", "/x")}, "one of GET"),
        ({"structures.get": "/x"}, "method, template"),
        ({"structures.get": ("GET",)}, "method, template"),
        ({"structures.get": ("GET", "x")}, "begins with a slash"),
        ({"structures.get": ("GET", "http://elsewhere/x")}, "begins with a slash"),
        ({"structures.get": ("GET", "/x/{limitId}")}, "no limitId to fill in"),
    ],
)
def test_a_table_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Paths().with_(changes)


def test_there_are_two_versions_of_the_rest() -> None:
    with pytest.raises(ConfigError, match="v1 or v2, not 'v3'"):
        Paths("v3")


def test_what_reads_by_post_reads_and_what_writes_does_not() -> None:
    every = {**PATHS_V1, **PATHS_V2}
    gets = {name for name, route in every.items() if route.method == "GET"}
    reads = {name for name, route in every.items() if route.reads}
    assert gets | {"limits.status", "export"} == reads
    assert {name for name, route in every.items() if route.idempotent} == reads


def test_a_path_that_only_deletes_is_not_the_one_for_reading() -> None:
    doc = _doc(**{"/limits/rest/v2/limitDefinition/structure/{id}": "delete"})
    assert Paths().from_openapi(doc).entries["structures.get"] == PATHS_V2["structures.get"]

    elsewhere = _doc(
        **{"/limits/rest/v2/limitDefinition/structure/{id}": "delete", "/v9/limitDefinition/structure/{x}": "get"}
    )
    learnt = Paths().from_openapi(elsewhere)
    assert learnt.entries["structures.get"] == Route("GET", "/v9/limitDefinition/structure/{structureId}")
    assert learnt.method("structures.delete") == "DELETE"


def test_a_write_never_becomes_a_read() -> None:
    doc = _doc(**{"/limits/rest/v2/limitDefinition/limits/save": "get", "/limits/rest/v2/evaluate/all": "delete"})

    assert Paths().from_openapi(doc) == Paths()


def _doc(**paths: Any) -> dict[str, Any]:
    return {"openapi": "3.0.1", "paths": {path: {key: {} for key in keys.split()} for path, keys in paths.items()}}


def test_a_document_corrects_prefix_method_and_names_of_ids() -> None:
    doc = _doc(
        **{
            "/app/limits/rest/v2/limitDefinition/structure/save": "put",
            "/app/limits/rest/v2/limitDefinition/structure/{id}": "get delete parameters",
            "/app/limits/rest/v2/limitDefinition/limits/status/get": "get",
            "/nothing": "get",
        }
    )
    paths = Paths().from_openapi(doc)

    assert paths.entries["structures.save"] == Route(
        "PUT", "/app/limits/rest/v2/limitDefinition/structure/save", idempotent=False
    )
    assert paths.options("structures.save") == {
        "idempotent": False,
        "limit": "default",
        "route": "/app/limits/rest/v2/limitDefinition/structure/save",
    }
    assert paths.path("structures.get", structureId="s 1") == "/app/limits/rest/v2/limitDefinition/structure/s%201"
    assert paths.method("structures.delete") == "DELETE"
    assert paths.method("limits.status") == "GET"
    assert paths.entries["limits.list"] == PATHS_V2["limits.list"]
    assert paths.entries["autoconfig.connect"] == PATHS_V2["autoconfig.connect"]


def test_of_several_paths_that_end_alike_the_exact_one_counts_and_else_none() -> None:
    exact, other, third = (f"{base}/evaluate/all" for base in ("/limits/rest/v2", "/old/rest", "/new/rest"))

    assert Paths().from_openapi(_doc(**{exact: "put", other: "post"})).entries["evaluate.all"] == Route(
        "PUT", exact, idempotent=False
    )
    assert Paths().from_openapi(_doc(**{third: "post", other: "post"})) == Paths()


def test_a_method_is_changed_for_one_of_its_kind_only() -> None:
    doc = _doc(**{"/x/limitDefinition/structure/update": "post patch", "/x/incidents": "patch put"})

    assert Paths().from_openapi(doc).method("structures.update") == "POST"
    assert Paths().from_openapi(doc).entries["incidents.list"] == PATHS_V2["incidents.list"]


@pytest.mark.parametrize("table", [PATHS_V1, PATHS_V2])
def test_a_document_of_our_own_table_changes_nothing_but_spells_it_out(table: dict[str, Any]) -> None:
    paths = Paths("v1" if table is PATHS_V1 else "v2")
    spelled: dict[str, dict[str, Any]] = {}
    rest = "/limits/rest/" + paths.version
    for route in table.values():
        spelled.setdefault(route.path.replace("{rest}", rest), {})[route.method.lower()] = {}

    learnt = paths.from_openapi({"paths": spelled})
    assert all(
        learnt.entries[name] == replace(route, path=route.path.replace("{rest}", rest)) for name, route in table.items()
    )


@pytest.mark.parametrize("doc", [None, [], "x", {}, {"paths": []}])
def test_what_is_no_document_is_refused(doc: Any) -> None:
    with pytest.raises(ConfigError, match="OpenAPI"):
        Paths().from_openapi(doc)
