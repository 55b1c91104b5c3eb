"""Tokens, what they see, errors, faults of its own and of everyone, one address for both platforms."""

from __future__ import annotations

import base64
import logging
import re
import time
from typing import Any

import aiohttp
import pytest

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import DatoramaWorld, Fault, PanoplyWorld, Sandbox
from asyncconn.sandbox.datorama.limits import RATE_HEADERS

from .conftest import FORM, form
from .datorama_client import FILES, START, STAT, STREAM, WORKSPACE, Api, datorama

QUERY = {"workspaceId": WORKSPACE, "dateRange": "YESTERDAY", "measurements": [{"name": "Clicks"}]}
RANGE = {"startDate": "2026-01-01", "endDate": "2026-01-10"}
REPORT = {"name": "r", "workspaceId": WORKSPACE, "config": {"rowDims": ["DAY"]}}

#: One call for each kind of endpoint: method, path, body.
ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/workspaces", None),
    ("GET", f"/v1/workspaces/{WORKSPACE}/data-streams", None),
    ("POST", "/v1/data-streams", {"name": "n", "workspaceId": WORKSPACE}),
    ("PUT", f"/v1/data-streams/{STREAM}", {"name": "n", "enabled": True}),
    ("PATCH", f"/v1/data-streams/{STREAM}", {"name": "n"}),
    ("DELETE", f"/v1/data-streams/{STREAM}", None),
    ("POST", f"/v1/data-streams/{STREAM}/process", RANGE),
    ("POST", "/v1/data-streams/process", {"dataStreamIds": [STREAM], **RANGE}),
    ("POST", f"/v1/data-streams/api/{STREAM}/stats", {}),
    ("POST", f"/v1/data-streams/api/{STREAM}/rerun", [STAT]),
    ("GET", f"/v1/data-stream-stats/api/{STAT}/download", None),
    ("GET", f"/v1/data-stream-stats/dynamic/{STAT + 3}/download", None),
    ("POST", "/v1/reports", REPORT),
    ("POST", "/v1/query", QUERY),
]


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_tokens_are_made_up_uuids_that_follow_the_seed() -> None:
    def tokens(seed: int | None, /, **options: Any) -> list[str]:
        return Sandbox(DatoramaWorld(tokens=3, **options), seed=seed).datorama.tokens

    uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert all(uuid.fullmatch(token) for token in tokens(1))
    assert len(set(tokens(1))) == 3
    assert tokens(1) == tokens(1) == tokens(2, seed=1) != tokens(2)
    assert tokens(None) != tokens(None)
    assert all(token.startswith("dato-api-") for token in tokens(1, token_prefix="dato-api-"))


def test_panoplys_credentials_are_what_they_were_without_datorama() -> None:
    assert Sandbox(DatoramaWorld(tokens=9), PanoplyWorld(), seed=1).panoply.api_key == Sandbox(seed=1).panoply.api_key


async def test_the_environment_holds_all_tokens_and_the_address() -> None:
    async with datorama(tokens=2) as api:
        account = api.sandbox.datorama
        assert account.env() == {
            "ASYNCCONN_DATORAMA_TOKEN": f"{account.tokens[0]},{account.tokens[1]}",
            "ASYNCCONN_DATORAMA_BASE_URL": api.sandbox.url,
        }
        assert account.env().items() <= api.sandbox.env.items()
        assert account.token == account.tokens[0]
    with pytest.raises(LifecycleError, match="not open"):
        _ = api.sandbox.datorama.url


async def test_a_token_is_taken_bare_from_either_header_and_nothing_else_is() -> None:
    async with datorama() as api:
        token = api.sandbox.datorama.token
        for headers, status in (
            ({"Authorization": token}, 200),
            ({"token": token}, 200),
            ({"Authorization": f"Bearer {token}"}, 401),
            ({"Authorization": "", "token": token}, 401),
            ({"token": token[:-1]}, 401),
            ({}, 401),
        ):
            reply = await api("GET", "/v1/workspaces", token=None, headers=headers)
            assert reply.status == status, headers
            assert isinstance(reply.json, list if status == 200 else dict)
        assert api.sandbox.datorama.counters.unauthorized == 4
        assert [call.token for call in api.sandbox.datorama.calls] == [0, 0, None, None, None, None]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_token_sees_its_own_workspaces_only(status: int) -> None:
    visible = {0: [WORKSPACE], 1: [WORKSPACE + 1]}
    async with datorama(
        workspaces=2, streams=2, file_every=0, tokens=3, visible=visible, invisible_status=status, job_seconds=(0, 0)
    ) as api:
        report = (await api.ok("POST", "/v1/reports", REPORT))["id"]
        job = (await api.ok("POST", f"/v1/reports/{report}/process"))[0]["id"]
        page = (await api.ok("GET", "/v1/dashboards/31001/pages"))[0]["id"]
        seen = [[each["id"] for each in await api.ok("GET", "/v1/workspaces", token=t)] for t in range(3)]
        assert seen == [[WORKSPACE], [WORKSPACE + 1], [WORKSPACE, WORKSPACE + 1]]
        for method, path, body in [
            *(each for each in ENDPOINTS if each[1] != "/v1/workspaces" and "dynamic" not in each[1]),
            ("GET", f"/v1/workspaces/{WORKSPACE}", None),
            ("GET", f"/v1/data-stream-stats/{STAT}", None),
            ("GET", f"/v1/reports/{report}", None),
            ("GET", f"/v1/report-jobs/{job}/download", None),
            ("GET", f"/v1/pages/{page}", None),
            ("POST", "/v1/pages", {"dashboardId": 31001}),
            ("POST", "/v1/report-schedulers", {"reportId": report}),
            ("POST", "/v1/query-batch", [QUERY]),
        ]:
            assert (await api(method, path, body, token=1)).status == status, (method, path)
            if method != "DELETE":
                assert (await api(method, path, body, token=0)).status < 300, (method, path)
        assert len(await api.ok("GET", "/v1/dashboards", token=1)) == 1
        assert (api.sandbox.datorama.counters.unauthorized > 0) == (status == 403)


# -- what is not there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [0, None])
@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/", "/v1", "/services/x", "/v1/data-streams/abc"])
async def test_an_unknown_path_is_an_html_page_with_200(path: str, token: int | None) -> None:
    async with datorama() as api:
        reply = await api("GET", path, token=token)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert reply.text.startswith("<!DOCTYPE html>")


async def test_other_methods_on_unknown_paths_are_404() -> None:
    async with datorama() as api:
        assert [(await api(m, "/v1/no/such", {})).status for m in ("POST", "PUT", "PATCH", "DELETE")] == [404] * 4
        assert (await api("POST", "/v1/no/such", {}, token=None)).status == 401


async def test_a_body_that_is_not_json_or_of_the_wrong_kind_is_400() -> None:
    async with datorama() as api:
        for body in (b"{", b"", b"\xff", b"[]", b"3"):
            assert (await api("PATCH", f"/v1/data-streams/{STREAM}", body)).status == 400
        assert (await api("POST", "/v1/query-batch", {})).status == 400


# -- one address -------------------------------------------------------------------------------------------------------


async def test_both_platforms_live_behind_one_address() -> None:
    async with datorama() as api:
        panoply = api.sandbox.panoply
        body = form('{"__table": "t", "a": 1}', {"key": panoply.api_key, "secret": panoply.api_secret})
        async with api.session.post(panoply.queue_url, data=body, headers=FORM) as response:
            assert response.status == 200
        assert len(await api.ok("GET", "/v1/workspaces")) == 1
        assert panoply.tables() == {"t": 1}
        assert api.sandbox.requests == {"panoply": 1, "datorama": 1}
        assert [(call.platform) for call in api.sandbox.arrivals] == ["panoply", "datorama"]


async def test_unknown_paths_belong_to_datorama_when_its_token_comes_along() -> None:
    async with datorama() as api:
        assert (await api("GET", "/elsewhere", token=None)).status == 404
        for path in ("/elsewhere", "/", "/123/queue"):
            assert (await api("GET", path)).headers["Content-Type"].startswith("text/html")
        assert api.sandbox.requests == {"-": 1, "datorama": 3}


async def test_no_secret_is_in_a_repr_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with datorama(Fault("status", status=503)) as api:
        for method, path, body in ENDPOINTS:
            await api(method, path, body)
        await api("GET", "/v1/data-streams/1")
        texts = [repr(api.sandbox.datorama), repr(api.world), repr(api.sandbox.datorama.calls), caplog.text]
        assert "datorama answers 404" in caplog.text
        assert not [text for text in texts if api.sandbox.datorama.token in text]


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"), ENDPOINTS, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_every_fault_strikes_at_every_endpoint(method: str, path: str, body: Any) -> None:
    async with datorama(job_seconds=(0, 0)) as api:
        faults = api.sandbox.faults
        reached = api.sandbox.datorama.counters
        sent = 1 if method in ("POST", "PATCH") else 2  # aiohttp sends the others again, and tells nobody
        for kind, processed in (("drop_before", 0), ("drop_after", sent)):
            faults.add(Fault(kind, times=sent))
            before = reached.requests
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await api(method, path, body)
            assert reached.requests - before == processed
        if method == "DELETE":
            return  # it is gone now
        faults.add(Fault("status", status=503, retry_after=3))
        reply = await api(method, path, body)
        assert (reply.status, reply.headers["Retry-After"], "msg" in reply.json) == (503, "3", True)
        faults.add(Fault("half_body"))
        if path != "/v1/data-streams/process":  # an empty body has no half
            with pytest.raises(aiohttp.ClientPayloadError):
                await api(method, path, body)
        else:
            faults.clear()
        faults.add(Fault("malformed"), Fault("html_200"))
        reply = await api(method, path, body)
        assert (reply.status, reply.text.startswith("\x00<<<")) == (200, True)
        reply = await api(method, path, body)
        assert (reply.status, reply.text.startswith("<!DOCTYPE html>")) == (200, True)
        assert len(faults) == 0


async def test_a_streamed_file_breaks_off_in_its_middle() -> None:
    async with datorama(Fault("half_body"), download_bytes=1_000_000) as api:
        url = f"{api.sandbox.url}/v1/data-stream-stats/api/{STAT}/download"
        received = 0
        async with api.session.get(url, headers={"token": api.sandbox.datorama.token}) as response:
            try:
                async for chunk in response.content.iter_any():
                    received += len(chunk)
            except aiohttp.ClientPayloadError:
                pass
            else:
                pytest.fail("the body came to its end")
            assert received == int(response.headers["Content-Length"]) // 2


async def test_html_200_is_carried_out_all_the_same() -> None:
    async with datorama(Fault("html_200")) as api:
        await api("PATCH", f"/v1/data-streams/{STREAM}", {"name": "new"})
        assert api.world.streams[STREAM]["name"] == "new"


async def test_no_headers_takes_the_nine_away_and_quota_zero_empties_the_day() -> None:
    async with datorama(Fault("no_headers"), Fault("quota_zero")) as api:
        bare, zero, usual = [await api("GET", "/v1/workspaces") for _ in range(3)]
        assert not set(RATE_HEADERS) & set(bare.headers)
        assert (zero.headers["X-DailyQuota-Remaining"], zero.headers["X-DailyQuota-Limit"]) == ("0", "20000")
        assert usual.headers["X-DailyQuota-Remaining"] == "19997"
        assert len(bare.json) == len(zero.json) == 1


async def test_errors_200_is_a_query_that_failed_with_status_200() -> None:
    async with datorama(Fault("errors_200", match="/v1/query")) as api:
        await api.ok("GET", "/v1/workspaces")
        failed = await api.ok("POST", "/v1/query", QUERY)
        assert (failed["queryResponseData"], len(failed["errors"])) == (None, 1)
        assert (await api.ok("POST", "/v1/query", QUERY))["errors"] == []


async def test_unknown_status_puts_a_new_word_wherever_there_is_one() -> None:
    async with datorama(Fault("unknown_status", times=2)) as api:
        stats = await api.ok("POST", f"/v1/data-streams/api/{STREAM}/stats", {})
        [bulk] = {
            each["runStatus"] for each in await api.ok("GET", f"/v1/workspaces/{WORKSPACE}/data-streams/status/bulk")
        }
        assert {stat["status"] for stat in stats} == {bulk}
        assert bulk not in ("SUCCESS", "PENDING", "IN_PROGRESS", "FAILURE", "ABORTED", "TIMEOUT")
        assert api.world.stats[STAT].final == "SUCCESS"


async def test_datoramas_own_faults_never_strike_panoply() -> None:
    kinds = ("html_200", "no_headers", "quota_zero", "errors_200", "unknown_status")
    async with datorama(*(Fault(kind) for kind in kinds)) as api:
        panoply = api.sandbox.panoply
        body = form("{}", {"key": panoply.api_key, "secret": panoply.api_secret})
        async with api.session.post(panoply.queue_url, data=body, headers=FORM) as response:
            assert response.content_type == "text/xml"
        assert len(api.sandbox.faults) == 5


# -- worlds ------------------------------------------------------------------------------------------------------------


async def test_a_sandbox_has_a_small_world_when_none_is_given() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        api = Api(sandbox, session)
        assert len(await api.ok("GET", "/v1/workspaces")) == 2
        assert (len(api.world.streams), len(api.world.stats)) == (10, 30)


async def test_a_world_is_as_large_as_it_says_and_dealt_out_evenly() -> None:
    world = DatoramaWorld(workspaces=40, streams=5000, jobs=3, file_every=4, disabled_every=10)
    began = time.process_time()
    made = Sandbox(world).datorama.live
    assert time.process_time() - began < 5  # about 0.2; a world made in squares would take minutes
    assert (len(made.workspaces), len(made.streams), len(made.stats)) == (40, 5000, 15_000)
    assert {len(made.shelves["data-streams"].of(number)) for number in made.workspaces} == {125}
    assert sum(stream["dataSourceName"] == "TotalConnect" for stream in made.streams.values()) == 1250
    assert sum(not stream["enabled"] for stream in made.streams.values()) == 500
    assert made.streams[STREAM]["config"] is not made.streams[STREAM + 1]["config"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"workspaces": 0}, "workspaces=0"),
        ({"streams": -1}, "streams=-1"),
        ({"jobs": 1.5}, "jobs=1.5"),
        ({"tokens": True}, "tokens=True"),
        ({"windows": "hopping"}, "windows='hopping'"),
        ({"invisible_status": 500}, "invisible_status=500"),
        ({"refusal": ""}, "refusal=''"),
        ({"visible": {1: []}}, "visible=1"),
        ({"error_bodies": ("xml",)}, "error_bodies='xml'"),
        ({"outcomes": {}}, "outcomes="),
        ({"outcomes": {"SUCCESS": 0}}, "outcomes="),
        ({"outcomes": {"SUCCESS": 2, "FAILURE": -1}}, "outcomes="),
        ({"job_seconds": 5}, "job_seconds=5"),
        ({"job_reads": (1, -1)}, "job_reads="),
        ({"max_page_size": 0}, "max_page_size=0"),
        ({"download_bytes": 1 << 40}, "download_bytes="),
        ({"date_skew": float("inf")}, "date_skew=inf"),
    ],
)
def test_a_world_that_cannot_be_names_the_field(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^world: {re.escape(named)}"):
        DatoramaWorld(**options)


async def test_what_a_test_changes_in_the_world_is_served() -> None:
    async with datorama() as api:
        api.world.streams[FILES]["name"] = "renamed"
        del api.world.streams[STREAM]
        assert [each["name"] for each in await api.ok("GET", f"/v1/workspaces/{WORKSPACE}/data-streams")] == ["renamed"]


def test_a_sandbox_can_be_made_without_a_running_loop_and_on_any_clock() -> None:
    made = Sandbox(clock=VirtualClock(START))
    made.datorama.clock.advance(86_400)
    assert made.datorama.clock.utcnow().isoformat() == "2026-01-02T00:00:00+00:00"
    assert made.datorama.clock.today().isoformat() == "2026-01-02"


def test_panoply_secrets_stay_out_of_datoramas_names() -> None:
    made = Sandbox(seed=1)
    secret = base64.b64decode(made.panoply.api_secret).decode()
    assert not any(token in secret for token in made.datorama.tokens)
