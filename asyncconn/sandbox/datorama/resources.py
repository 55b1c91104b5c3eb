"""Workspaces, models, accounts, users, authentications, dashboards and reference lists: read and written.

Contract: datorama sections 2.1, 2.4 to 2.7 and 2.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.datorama.answers import ApiError, json_answer, nothing
from asyncconn.sandbox.datorama.live import FIRST_USER, Live
from asyncconn.sandbox.datorama.samples import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.sandbox.datorama.routes import Ask, Route
    from asyncconn.sandbox.exchange import Answer

__all__ = ["Resources", "crud"]

_TYPES = frozenset({"TEXT", "NUMBER", "DATE", "LINK", "IMAGE", "VIDEO", "PERCENTAGE", "CURRENCY", "DURATION"})


def crud(live: Live, word: str, verbs: str, *, check: Callable[[dict[str, Any]], None] | None = None) -> list[Route]:
    """What is the same for most kinds of object.

    ``verbs``: L list by workspace, C create, G get, U replace, P patch, D delete. ``check`` refuses a new object.
    """

    def listed(ask: Ask) -> Answer:
        return json_answer(live.shelves[word].of(live.check_workspace(ask.token, ask.id("ws"))))

    def create(ask: Ask) -> Answer:
        given = ask.body(dict)
        name, parent = live.parent(word)
        if parent == "workspaces":
            given = {**given, name: live.check_workspace(ask.token, given.get(name))}
        elif parent != "accounts":
            live.check_belongs(word, given, ask.token)
        if check is not None:
            check(given)
        return json_answer(live.shelves[word].add(given, user(ask), live.clock.millis()), 201)

    def get(ask: Ask) -> Answer:
        return json_answer(live.find(word, ask.id("id"), ask.token))

    def put(ask: Ask) -> Answer:
        found = live.find(word, ask.id("id"), ask.token)
        live.shelves[word].replace(found, ask.body(dict), user(ask), live.clock.millis())
        return json_answer(found)

    def patch(ask: Ask) -> Answer:
        found = live.find(word, ask.id("id"), ask.token)
        live.shelves[word].merge(found, ask.body(dict), user(ask), live.clock.millis())
        return json_answer(found)

    def delete(ask: Ask) -> Answer:
        live.find(word, ask.id("id"), ask.token)
        del live.shelves[word].objects[ask.id("id")]
        return nothing()

    one = f"/v1/{word}/{{id}}"
    routes: dict[str, Route] = {
        "L": ("GET", f"/v1/workspaces/{{ws}}/{word}", listed),
        "C": ("POST", f"/v1/{word}", create),
        "G": ("GET", one, get),
        "U": ("PUT", one, put),
        "P": ("PATCH", one, patch),
        "D": ("DELETE", one, delete),
    }
    return [routes[verb] for verb in verbs]


def user(ask: Ask) -> int:
    """Who it was: each token is another user's."""
    return FIRST_USER + ask.token


class Resources:
    """All that needs no engine of its own."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def routes(self) -> list[Route]:
        """Workspaces, models, accounts and the rest."""
        live = self._live
        return [
            ("GET", "/v1/workspaces", self._workspaces),
            ("DELETE", "/v1/workspaces/{id}", self._delete_workspace),
            ("GET", "/v1/accounts/{acc}/workspaces", self._workspaces_of_account),
            *crud(live, "workspaces", "CGUP", check=_named),
            *self._model_routes("dimensions"),
            *self._model_routes("measurements"),
            ("POST", "/v1/workspaces/{ws}/dimensions/{name}/values", self._values),
            *crud(live, "calculated-measurements", "LCUPD"),
            *crud(live, "filtered-measurements", "LCUPD"),
            *crud(live, "calculated-dimensions", "LCUPD"),
            *crud(live, "data-fusions", "LCGUPD"),
            *crud(live, "harmonized-dimensions", "L"),
            *crud(live, "patterns", "L"),
            ("POST", "/v1/harmonization/patterns", crud(live, "patterns", "C")[0][2]),
            ("GET", "/v1/accounts", self._accounts),
            *crud(live, "accounts", "G"),
            ("GET", "/v1/accounts/{acc}/users", self._of_account("users")),
            *crud(live, "users", "CGUPD"),
            ("GET", "/v1/accounts/{acc}/permission-sets", self._of_account("permission-sets")),
            *crud(live, "permission-sets", "CGUD"),
            ("POST", "/v1/accounts/{acc}/connectors/{uuid}", self._connect),
            ("GET", "/v1/connectors/{id}", self._connector),
            ("GET", "/v1/workspaces/{ws}/authentications", self._authentications),
            ("POST", "/v1/workspaces/{ws}/authentications", self._authenticate),
            *crud(live, "authentications", "GUPD"),
            ("GET", "/v1/authentications/{id}/profiles", self._profiles),
            ("POST", "/v1/authentications/{id}/sub-profiles", self._add_profiles),
            ("GET", "/v1/dashboards", self._dashboards),
            ("GET", "/v1/accounts/{acc}/dashboards", self._dashboards),
            *crud(live, "dashboards", "LCGUPD"),
            ("GET", "/v1/dashboards/{id}/pages", self._pages),
            ("GET", "/v1/workspaces/{ws}/dashboards/hierarchy", self._hierarchy),
            *crud(live, "pages", "CGUPD"),
            ("PUT", "/v1/pages/{id}/widgets/bulk", self._widgets),
            ("GET", "/v1/pages/{id}/content", self._content),
            *(("GET", f"/v1/reference/{word}", _constant(found)) for word, found in REFERENCE.items()),
        ]

    # -- workspaces and accounts ---------------------------------------------------------------------------------------

    def _visible(self, ask: Ask) -> list[dict[str, Any]]:
        return [each for number, each in self._live.workspaces.items() if self._live.sees(ask.token, number)]

    def _workspaces(self, ask: Ask) -> Answer:
        return json_answer(self._visible(ask))

    def _workspaces_of_account(self, ask: Ask) -> Answer:
        self._live.find("accounts", ask.id("acc"), ask.token)
        return json_answer([each for each in self._visible(ask) if each["accountId"] == ask.id("acc")])

    def _delete_workspace(self, ask: Ask) -> Answer:
        live = self._live
        number = live.check_workspace(ask.token, ask.id("id"))
        for stream in live.shelves["data-streams"].of(number):
            live.forget_stream(stream["id"])
        for word, shelf in live.shelves.items():
            if live.parent(word)[1] == "workspaces":
                for each in shelf.of(number):
                    shelf.objects.pop(each["id"], None)
        del live.workspaces[number]
        return nothing()

    def _accounts(self, _: Ask) -> Answer:
        return json_answer(list(self._live.shelves["accounts"].objects.values()))

    def _of_account(self, word: str) -> Callable[[Ask], Answer]:
        def listed(ask: Ask) -> Answer:
            self._live.find("accounts", ask.id("acc"), ask.token)
            return json_answer(self._live.shelves[word].of(ask.id("acc")))

        return listed

    # -- models --------------------------------------------------------------------------------------------------------

    def _model_routes(self, word: str) -> list[Route]:
        def listed(ask: Ask) -> Answer:
            model = self._live.model(self._live.check_workspace(ask.token, ask.id("ws")), word)
            kind, name = ask.query("type"), f"{word[:-1]}Type"
            found = [each for each in model.values() if kind not in _TYPES or each[name] == kind]
            if self._live.options.model_form == "object":
                return json_answer({each["systemName"]: each for each in found})
            return json_answer(found)

        def put(ask: Ask) -> Answer:
            model = self._live.model(self._live.check_workspace(ask.token, ask.id("ws")), word)
            name = ask.args["name"]
            if name not in model:
                raise ApiError(404, f"{word}: {name} does not exist")
            model[name] = {**dict.fromkeys(model[name]), **ask.body(dict), "systemName": name}
            return json_answer(model[name])

        return [
            ("GET", f"/v1/workspaces/{{ws}}/{word}", listed),
            ("PUT", f"/v1/workspaces/{{ws}}/{word}/{{name}}", put),
        ]

    def _values(self, ask: Ask) -> Answer:
        live = self._live
        workspace = live.check_workspace(ask.token, ask.id("ws"))
        if ask.args["name"] not in live.model(workspace, "dimensions"):
            raise ApiError(404, f"dimensions: {ask.args['name']} does not exist")
        page = ask.body(dict)
        offset, limit = page.get("offset", 0), page.get("limit", page.get("pageSize", 100))
        if not isinstance(offset, int) or not isinstance(limit, int) or offset < 0 or limit < 1:
            raise ApiError(422, "offset and limit are whole numbers")
        return json_answer(live.values_of(workspace, ask.args["name"])[offset : offset + limit])

    # -- authentications and connectors --------------------------------------------------------------------------------

    def _connect(self, ask: Ask) -> Answer:
        self._live.find("accounts", ask.id("acc"), ask.token)
        return json_answer(90_001)

    def _connector(self, ask: Ask) -> Answer:
        found = [each for each in REFERENCE["data-sources"] if each["id"] == ask.id("id")]
        if not found:
            raise ApiError(404, f"connectors: {ask.id('id')} does not exist")
        return json_answer(found[0])

    def _authentications(self, ask: Ask) -> Answer:
        source = ask.query("dataSourceId")
        found = self._live.shelves["authentications"].of(self._live.check_workspace(ask.token, ask.id("ws")))
        return json_answer([each for each in found if source is None or str(each["dataSourceId"]) == source])

    def _authenticate(self, ask: Ask) -> Answer:
        workspace = self._live.check_workspace(ask.token, ask.id("ws"))
        given = {name: value for name, value in ask.body(dict).items() if name != "password"}
        made = self._live.shelves["authentications"].add(
            {**given, "workspaceId": workspace}, user(ask), self._live.clock.millis()
        )
        return json_answer(made, 201)

    def _profiles(self, ask: Ask) -> Answer:
        self._live.find("authentications", ask.id("id"), ask.token)
        return json_answer(self._live.profiles[ask.id("id")])

    def _add_profiles(self, ask: Ask) -> Answer:
        self._live.find("authentications", ask.id("id"), ask.token)
        self._live.profiles[ask.id("id")] += ask.body(list)
        return self._profiles(ask)

    # -- dashboards ----------------------------------------------------------------------------------------------------

    def _dashboards(self, ask: Ask) -> Answer:
        found = self._live.shelves["dashboards"].objects.values()
        return json_answer([each for each in found if self._live.sees(ask.token, each["workspaceId"])])

    def _pages(self, ask: Ask) -> Answer:
        self._live.find("dashboards", ask.id("id"), ask.token)
        return json_answer(self._live.shelves["pages"].of(ask.id("id")))

    def _hierarchy(self, ask: Ask) -> Answer:
        dashboards = self._live.shelves["dashboards"].of(self._live.check_workspace(ask.token, ask.id("ws")))
        pages = [page for each in dashboards for page in self._live.shelves["pages"].of(each["id"])]
        widgets = [
            {"id": widget.get("id"), "pageId": page["id"], "dashboardId": page["dashboardId"]}
            for page in pages
            for widget in page["widgets"] or ()
        ]
        return json_answer({"widgets": widgets})

    def _widgets(self, ask: Ask) -> Answer:
        page = self._live.find("pages", ask.id("id"), ask.token)
        page["widgets"] = ask.body(list)
        return json_answer(page["widgets"])

    def _content(self, ask: Ask) -> Answer:
        page = self._live.find("pages", ask.id("id"), ask.token)
        return json_answer({"id": page["id"], "widgets": page["widgets"]})


def _named(given: dict[str, Any]) -> None:
    if not given.get("name"):
        raise ApiError(422, "name is required")


def _constant(value: Any) -> Callable[[Ask], Answer]:
    return lambda _: json_answer(value)
