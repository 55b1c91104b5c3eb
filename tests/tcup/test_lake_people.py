"""Several things at once have an outcome each, refused or not. Contract: tcup sections 6.6, 6.7, 13.13."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import Loopback, Reply

from asyncconn.errors import ConfigError, Conflict, ConnectionLost, ProtocolError
from asyncconn.sandbox import Fault
from asyncconn.tcup import Tcup
from asyncconn.tcup.lake_models import Directory, Link, MetadataRule, Permission

from .lake_scene import scene


async def test_links_are_made_and_taken_back() -> None:
    async with scene() as s:
        a, b = [await s.lake.upload(b"", filename=name) for name in "ab"]
        made = await s.lake.create_relations({"derivedFrom": "made of it", "follows": ""})
        assert [(one.item, one.ok, one.says("Created")) for one in made] == [
            ("derivedFrom", True, True),
            ("follows", True, True),
        ]
        assert {one.name: one.description for one in await s.lake.relations()}["derivedFrom"] == "made of it"

        found = await s.lake.link([(a, "derivedFrom", b), (a, "derivedFrom", "nowhere"), (b, "unknown", a)])
        assert [one.ok for one in found] == [True, False, False]
        assert found[1].item == Link(source_uri=a, relation="derivedFrom", target_uri="nowhere")
        with pytest.raises(Conflict, match="2 of 3 items") as caught:
            found.raise_for_failed()
        assert caught.value.details == tuple(found)

        links = await s.lake.links(a)
        assert [(one.source_uri, one.relation, one.target_uri) for one in links] == [(a, "derivedFrom", b)]
        (await s.lake.unlink(links)).raise_for_failed()
        assert len(await s.lake.links(a)) == 0
        await s.lake.delete_relation("follows")
        frame = await s.lake.relations().frame()
        assert list(frame["name"]) == ["derivedFrom"]
        assert "| derivedFrom | made of it  |" in await s.lake.relations().table()


async def test_shares_are_given_and_taken_back() -> None:
    async with scene() as s:
        await s.lake.create_users({"user2": None})
        uris = [await s.lake.upload(b"", filename=name) for name in "ab"]
        assert [one.ok for one in await s.lake.share([*uris, "nowhere"], ["user2"], "RW")] == [True, True, False]
        (share,) = await s.lake.shares(uris[0])
        assert (share.users, share.action) == (["user2"], "RW")
        (await s.lake.unshare(uris, "user2")).raise_for_failed()
        assert [one async for one in s.lake.shares(uris[0])] == []


async def test_users_are_listed_and_only_new_ones_are_made() -> None:
    async with scene() as s:
        found = await s.lake.create_users(["user2", "dlsadmin"])
        assert [one.ok for one in found] == [True, False]
        assert found.failed[0].says("already exists")
        # The platform says it by words, "false" among them.
        assert {one.user_name: one.admin_user for one in await s.lake.users()} == {"dlsadmin": True, "user2": False}


async def test_directories_hold_directories_and_files() -> None:
    async with scene() as s:
        strict = Directory(
            "/d2", "STRICT", [Permission(["user2"], "RW", "R")], [MetadataRule("colour")], {"team": "red"}
        )
        (await s.lake.create_users(["user2"])).raise_for_failed()
        assert [one.ok for one in await s.lake.create_directories(["d1/inner", strict, "/d1"])] == [True, True, False]
        await s.lake.upload(b"abc", filename="f", directory="/d1")
        with pytest.raises(Conflict, match="colour"):
            await s.lake.upload(b"abc", filename="f", directory="/d2")
        assert [(one.name, one.is_directory) for one in await s.lake.directories("d1")] == [
            ("inner", True),
            ("f", False),
        ]
        assert [one.name async for one in s.lake.directories() if one.is_directory] == ["d1", "d2"]
        assert [one async for one in s.lake.directories("/nowhere")] == []
        await s.lake.delete_directory("/d1/inner")
        with pytest.raises(Conflict):
            await s.lake.delete_directory("/d1")


async def test_the_storage_is_told_to_admins() -> None:
    async with scene() as s:
        assert (await s.lake.storage())["type"] == "NFS"


@pytest.mark.parametrize("verb", ["link", "unlink", "share", "unshare", "users", "relations", "directories"])
async def test_what_is_wrong_is_refused_before_anything_is_sent(verb: str) -> None:
    async with scene() as s:
        wrong: dict[str, Any] = {
            "link": lambda: s.lake.link([("a", "r")]),  # type: ignore[list-item]  # that is what is refused
            "unlink": lambda: s.lake.unlink([("a", "r", "")]),
            "share": lambda: s.lake.share("a", [], "R"),
            "unshare": lambda: s.lake.unshare("a", "user2", "DR"),
            "users": lambda: s.lake.create_users(["a b"]),
            "relations": lambda: s.lake.create_relations([""]),
            "directories": lambda: s.lake.create_directories([Directory("/d", rules=[MetadataRule("x")])]),
        }
        with pytest.raises(ConfigError):
            await wrong[verb]()
        assert s.calls() == 0


async def test_nothing_to_do_sends_nothing() -> None:
    async with scene() as s:
        assert await s.lake.link([]) == []
        assert s.calls() == 0


@pytest.mark.parametrize("verb", ["share", "unshare"])
async def test_a_lost_answer_is_told_and_nothing_is_done_twice(verb: str) -> None:
    async with scene() as s:
        await s.lake.create_users(["user2"])
        uri = await s.lake.upload(b"", filename="a")
        s.fail(Fault("drop_after", match="/dls/share"))
        with pytest.raises(ConnectionLost) as caught:
            await (s.lake.share if verb == "share" else s.lake.unshare)(uri, "user2")
        assert caught.value.maybe_sent
        assert s.calls("POST /dls/share", "DELETE /dls/share") == 1


@pytest.mark.parametrize("body", [[], {}, [{"code": "201"}], [{"code": 201}, {"code": 201}], [None]])
async def test_results_that_fit_no_item_leave_the_outcome_unknown(body: Any) -> None:
    answer = Reply(207, json.dumps(body).encode(), {"Content-Type": "application/json"})
    async with Loopback(answer) as server, Tcup(server.url, "key") as tcup:
        with pytest.raises(ProtocolError, match="unknown") as caught:
            await tcup.datalake.create_users(["user2"])
        assert caught.value.maybe_sent
