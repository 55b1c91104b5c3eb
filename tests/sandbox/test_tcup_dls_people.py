from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .working_scene import DLS, Api, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with tcup() as running:
        await running.add_user("user2")
        yield running


async def outcomes(
    api: Api, method: str, path: str, body: object, user: str = "dlsadmin"
) -> list[tuple[str, int, str]]:
    reply = await api(method, DLS + path, body, user=user)
    assert reply.status == 207, reply.text
    assert all(len(item["messages"]) == 1 for item in reply.json)
    return [(item["value"], item["code"], item["messages"][0]) for item in reply.json]


async def test_users_are_added_by_an_admin_each_with_a_key(api: Api) -> None:
    users = [{"dls-user": "user2"}, {"dls-user": "user3"}, {"dls-user": "a@b.org", "dls-key": "key-of-user2"}]
    assert await outcomes(api, "POST", "/user", users) == [
        ("user2", 409, "already exists"),
        ("user3", 201, "created"),
        ("a@b.org", 409, "already exists"),
    ]
    assert (await api("POST", f"{DLS}/user", users, user="user2")).status == 403
    assert (await api("POST", f"{DLS}/user", [{"dls-user": "no name"}])).status == 400
    listed = await api.ok("GET", f"{DLS}/user", user="user3")
    assert [(user["user-name"], user["admin-user"]) for user in listed] == [
        ("dlsadmin", "true"),
        ("user2", "false"),
        ("user3", "false"),
    ]


async def test_a_list_with_a_bad_item_does_nothing(api: Api) -> None:
    bad = await api("POST", f"{DLS}/user", [{"dls-user": "user3"}, {"dls-user": "no name"}])
    assert (bad.status, bad.json[0]["key"]) == (400, "dls-user")
    wrong: tuple[Any, ...] = ([], {}, ["user3"], [{"dls-user": 3}])
    for body in wrong:
        assert (await api("POST", f"{DLS}/user", body)).status == 400
    assert len(await api.ok("GET", f"{DLS}/user")) == 2


async def test_a_file_is_seen_by_those_it_is_shared_with(api: Api) -> None:
    uri = (await api.upload("a.csv")).text
    query = {"file-uri": uri}
    assert (await api.download(uri, user="user2")).status == 404
    share = {"file-uri": uri, "users": ["user2"], "action": "R"}
    strangers = [{**share, "users": ["nobody"]}, {**share, "file-uri": "user1/none"}]
    assert await outcomes(api, "POST", "/share", [share, *strangers]) == [
        (uri, 201, "shared"),
        (uri, 409, "not found"),
        ("user1/none", 409, "not found"),
    ]
    assert (await api.download(uri, user="user2")).status == 200
    assert await api.names("user2", ownFile="false") == ["a.csv"]
    for method, path in (("DELETE", "/file"), ("PUT", "/file/lock"), ("PUT", "/file/metadata")):
        assert (await api(method, DLS + path, params=query, user="user2")).status == 403
    assert await outcomes(api, "POST", "/share", [{**share, "action": "WD"}]) == [(uri, 205, "updated")]
    assert (await api.download(uri, user="user2")).status == 403
    assert await api.ok("GET", f"{DLS}/share", params=query) == [{**share, "action": "WD"}]
    assert (await api("PUT", f"{DLS}/file/metadata", data="colour=red", params=query, user="user2")).status == 200
    assert await outcomes(api, "DELETE", "/share", [{"file-uri": uri, "users": ["user2"]}] * 2) == [
        (uri, 205, "deleted"),
        (uri, 409, "not found"),
    ]
    assert (await api.download(uri, user="user2")).status == 404


async def test_only_the_owner_shares_and_actions_have_an_order(api: Api) -> None:
    uri = (await api.upload("a.csv", user="user2")).text
    assert uri == "user1/user2/a.csv"
    share = {"file-uri": uri, "users": ["dlsadmin"], "action": "R"}
    assert await outcomes(api, "POST", "/share", [share]) == [(uri, 409, "not found")]
    for action in ("", "DR", "X", "rw"):
        assert (await api("POST", f"{DLS}/share", [{**share, "action": action}], user="user2")).status == 400
    assert await api.names() == []  # an admin sees its own files, and what is shared with it


async def test_links_need_a_relation_and_files_that_one_sees(api: Api) -> None:
    one, two = (await api.upload("a.csv")).text, (await api.upload("b.csv")).text
    relations = [{"name": "derivedFrom", "description": "made of"}]
    assert (await api("POST", f"{DLS}/relation", relations, user="user2")).status == 403
    assert (await api("POST", f"{DLS}/relation", relations)).json == [
        {"key": "relation", "value": "derivedFrom", "code": 201, "messages": ["created"]}
    ]
    assert await outcomes(api, "POST", "/relation", relations) == [("derivedFrom", 409, "already exists")]
    assert await api.ok("GET", f"{DLS}/relation", user="user2") == relations
    link = {"source-uri": one, "relation": "derivedFrom", "target-uri": two}
    unknown = [{**link, "relation": "none"}, {**link, "target-uri": "user1/none"}]
    assert await outcomes(api, "POST", "/link", [link, link, *unknown]) == [
        (one, 201, "linked"),
        (one, 409, "already exists"),
        (one, 409, "not found"),
        (one, 409, "not found"),
    ]
    assert await outcomes(api, "POST", "/link", [link], user="user2") == [(one, 409, "not found")]
    for uri in (one, two):
        assert await api.ok("GET", f"{DLS}/link", params={"file-uri": uri}) == [link]
    assert await outcomes(api, "DELETE", "/link", [link, link]) == [(one, 205, "deleted"), (one, 409, "not found")]
    assert (await api("DELETE", f"{DLS}/relation/derivedFrom")).text == "deleted"
    assert (await api("DELETE", f"{DLS}/relation/derivedFrom")).status == 404


async def test_directories_are_made_with_their_parents(api: Api) -> None:
    made = [{"directory": "d1/d2"}, {"directory": "/d1"}, {"directory": "/"}]
    reply = await api("POST", f"{DLS}/directory", made)
    assert reply.json[0] == {"key": "directory", "value": "d1/d2", "code": 201, "messages": ["created"]}
    assert [item["code"] for item in reply.json] == [201, 409, 409]
    uri = (await api.upload("a.csv", directory="/d1/d2", metadata="colour=blue")).text
    shown = await api.ok("GET", f"{DLS}/directory", params={"directory": "/d1"})
    assert (shown["current-page"], shown["total-page"], shown["record-count"], shown["files"]) == (1, 1, 1, [])
    assert [(one["name"], one["path"], one["file-count"]) for one in shown["directories"]] == [("d2", "/d1/d2", 1)]
    inside = await api.ok("GET", f"{DLS}/directory", params={"directory": "d1/d2"})
    assert [(file["name"], file["path"], file["size-bytes"]) for file in inside["files"]] == [("a.csv", uri, 4)]
    assert (await api("GET", f"{DLS}/directory", params={"directory": "d1/d2", "metadata": "shape"})).status == 404
    assert (await api("GET", f"{DLS}/directory", params={"directory": "none"})).status == 404
    assert await api.names(directory="/d1/d2") == ["a.csv"]
    for path in ("/d1", "/d1/d2"):
        assert (await api("DELETE", f"{DLS}/directory", params={"directory": path})).status == 409
    await api("DELETE", f"{DLS}/file", params={"file-uri": uri})
    for path in ("/d1/d2", "/d1"):
        assert (await api("DELETE", f"{DLS}/directory", params={"directory": path})).text == "deleted"
    assert (await api("DELETE", f"{DLS}/directory", params={"directory": "/d1"})).status == 404


async def test_a_directory_says_who_may_do_what(api: Api) -> None:
    await api.add_user("user3")
    permissions = [
        {"users": ["user2"], "action": "W", "directory-action": "RW"},
        {"users": ["user3"], "action": "R", "directory-action": "RD"},
    ]
    await api("POST", f"{DLS}/directory", [{"directory": "/d1", "permissions": permissions}])
    assert (await api.upload("a.csv", directory="/none")).status == 409
    assert (await api.upload("a.csv", directory="/d1", user="user3")).status == 409
    uri = (await api.upload("a.csv", directory="/d1", user="user2")).text
    assert (await api.download(uri, user="user2")).status == 409  # no right to read there, not even one's own
    assert (await api.download(uri, user="user3")).status == 200
    assert (await api.download(uri)).status == 200
    for user, code in (("user2", 201), ("user3", 409)):
        reply = await api("POST", f"{DLS}/directory", [{"directory": f"/d1/{user}"}], user=user)
        assert reply.json[0]["code"] == code
    assert (await api("DELETE", f"{DLS}/directory", params={"directory": "/d1"}, user="user2")).status == 403


async def test_a_strict_directory_wants_its_metadata_and_no_other(api: Api) -> None:
    rules = [
        {"name": "colour", "type": "TEXT", "default-value": "blue"},
        {"name": "size", "type": "NUMERIC"},
    ]
    body = [
        {"directory": "/strict", "enforcement": "STRICT", "metadata-rule": rules},
        {"directory": "/standard", "enforcement": "STANDARD", "metadata-rule": rules[:1]},
    ]
    await api("POST", f"{DLS}/directory", body)
    for metadata in ("colour=red", "colour=red,size=big", "colour=red,size=1,shape=round"):
        assert (await api.upload("a.csv", directory="/strict", metadata=metadata)).status == 409
    assert (await api.upload("a.csv", directory="/strict", metadata="colour=red,size=1")).status == 201
    assert (await api.upload("b.csv", directory="/standard", metadata="shape=round")).status == 201
    assert sorted(await api.names(metadata="colour='blue'")) == ["b.csv"]
    for wrong in ({"enforcement": "LAX"}, {"metadata-rule": [{"name": "colour"}]}, {"permissions": "all"}):
        assert (await api("POST", f"{DLS}/directory", [{"directory": "/d2", **wrong}])).status == 400


async def test_a_schema_refuses_what_it_does_not_know(api: Api) -> None:
    api.world.dls.set_schema({"colour": "TEXT", "size": "NUMERIC"})
    for metadata, status in (("colour=red,size=1", 201), ("size=big", 409), ("shape=round", 409)):
        assert (await api.upload(f"{metadata[:4]}{status}.csv", metadata=metadata)).status == status


async def test_the_storage_is_told_to_admins(api: Api) -> None:
    assert await api.ok("GET", f"{DLS}/admin/storage/type") == {"type": "NFS", "value": "/data/dls"}
    assert (await api("GET", f"{DLS}/admin/storage/type", user="user2")).status == 403
    assert (await api("GET", f"{DLS}/datapoint/repository")).status == 404


async def test_the_quota_is_for_the_tenant() -> None:
    async with tcup() as api:
        api.world.dls.limits.quota_bytes = 10
        assert (await api.upload("a.csv", b"x" * 8)).status == 201
        assert (await api.upload("b.csv", b"x" * 3)).status == 409
        assert (await api.upload("b.csv", b"x" * 2)).status == 201
        for mode, status in (("APPEND", 409), ("ARCHIVE", 409), ("OVERWRITE", 201)):
            assert (await api.upload("a.csv", b"x", mode=mode)).status == status


async def test_tenants_have_a_lake_each(api: Api) -> None:
    other = api.world.add_tenant("user9")
    await api.upload("a.csv")
    keys = {"x-api-key": other.api_key, "x-dls-key": other.api_key}
    async with api.http.get(api.world.url + f"{DLS}/catalog", headers=keys) as response:
        assert response.status == 404
    assert (await api("GET", f"{DLS}/catalog", user=other.api_key)).status == 401
