"""Limits 1.x: its paths, its limits, and its file."""

from __future__ import annotations

from typing import Any

import aiohttp
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.sandbox.atoti_limits.paths import V1_PATHS, V1_ROOT_PATHS

from .limits_scene import DEFINITION, limits

LEGACY = (
    "Group,ID,Name,Comment,Start Date,End Date,Frequency Type,Polling Frequency,Kpi Type,Limit Values,"
    "Absolute Value Indicator,Warning Threshold,Measure Name,Scope,Precedence,Limit Status,Limit Changes Workflow,"
    "Limit Changes Workflow Parameters\n"
    'g,old_1,Old,,2020-01-01,,official,EOD,Greater Than,"[1,2]",false,0,Price.SUM,CarName=alpha,0,APPROVED,,\n'
)


async def test_version_1_creates_the_captured_limit_and_has_nothing_of_version_2() -> None:
    async with limits(rest_version="v1", version="1.1.0") as (server, rest):
        request = CAPTURES["v1_limit"]["request"]
        reply = await rest(request["method"], request["path"], request["json"])
        assert (reply.status, reply.json) == (201, request["json"])
        assert list(server.store.v1_limits) == ["id_0001"]
        assert (await rest("GET", f"{DEFINITION}/structure")).status == 404
        assert (await rest("GET", "/limits/rest/v1/ping", user=None)).body == b"pong"
        named = {
            method["operationId"]
            for path in (await rest("GET", "/v3/api-docs")).json["paths"].values()
            for method in path.values()
        }
        assert named == {*V1_PATHS, *V1_ROOT_PATHS}


async def test_version_1_refuses_wrong_limits_and_unknown_servers() -> None:
    good: dict[str, Any] = CAPTURES["v1_limit"]["request"]["json"]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"serverName": "nowhere"}, 422),
        ({"validFrom": "soon"}, 422),
        ({"validTo": "2025-01-01"}, 422),
        ({"limitValues": []}, 422),
        ({"limitValues": ["x"]}, 422),
        ({"scope": "?"}, 422),
        ({"name": None}, 422),
        ({}, 201),
    ]
    async with limits(rest_version="v1", version="1.1.0") as (_, rest):
        for wrong, status in cases:
            reply = await rest("POST", "/limits/rest/v1/limitDefinition/create", {**good, **wrong})
            assert reply.status == status, wrong


async def test_version_1_takes_the_legacy_file() -> None:
    async with limits(rest_version="v1", version="1.1.0") as (server, rest):
        form = aiohttp.FormData()
        form.add_field("file", LEGACY, filename="legacy_limits.csv", content_type="text/csv")
        reply = await rest("POST", "/limits/rest/v1/limitDefinition/upload", data=form)
        assert reply.json == {"created": 1, "updated": 0}
        assert server.store.v1_limits["old_1"]["limitValues"] == [1, 2]


async def test_version_1_gives_its_limits_as_the_legacy_file_and_tells_who_may_start_a_workflow() -> None:
    async with limits(rest_version="v1", version="1.1.0") as (_, rest):
        await rest("POST", "/limits/rest/v1/limitDefinition/create", CAPTURES["v1_limit"]["request"]["json"])
        form = aiohttp.FormData()
        form.add_field("file", LEGACY, filename="legacy_limits.csv", content_type="text/csv")
        await rest("POST", "/limits/rest/v1/limitDefinition/upload", data=form)
        lines = (await rest("POST", "/limits/rest/v1/limitDefinition/export", {})).json["limits"].splitlines()
        assert lines[0] == LEGACY.splitlines()[0]
        assert [line.split(",")[1] for line in lines[1:]] == ["id_0001", "old_1"]
        assert (await rest("GET", "/limit-process-definition/canStart?key=StraightThrough")).json is True
        assert (await rest("GET", "/limit-process-definition/canStart")).status == 400
