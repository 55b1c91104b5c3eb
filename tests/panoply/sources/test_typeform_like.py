"""A source of the original SDK that reads a paged API with an access token that runs out, and tries again itself."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from loopback import DROP, Loopback, Reply, Seen, saying

from asyncconn.panoply import SourceProgress, run_source
from asyncconn.panoply.errors import ReadFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import ModuleType

    from asyncconn import Panoply
    from asyncconn.sandbox import Sandbox

FORMS = {"survey": 2500, "silence": 0, "poll": 1000}


def answer(form: str, number: int) -> dict[str, Any]:
    return {"id": f"{form}-{number}", "token": str(number), "score": number / 8, "words": {"said": "olá", "n": number}}


class Api:
    """Forms whose answers are read backwards; ``trouble`` are replies to give instead, by the number of the call."""

    def __init__(self) -> None:
        self.token = "first-token"
        self.trouble: dict[int, Reply] = {}
        self.calls = 0
        self.renewals: list[str] = []

    def __call__(self, seen: Seen) -> Reply:
        if seen.path == "/oauth/token":
            self.renewals.append(seen.body.decode())
            return saying({"access_token": self.token, "refresh_token": "refresh-2"})
        if seen.headers["authorization"] != f"Bearer {self.token}":
            return saying({"message": "who are you?"}, 401)
        self.calls += 1
        if self.calls in self.trouble:
            return self.trouble[self.calls]
        if seen.path == "/forms":
            return saying({"items": [{"id": form, "title": form.title()} for form in FORMS]})
        form = seen.path.split("/")[2]
        if form not in FORMS:
            return saying({"message": "no such form"}, 404)
        asked = {name: values[0] for name, values in parse_qs(seen.query).items()}
        first = int(asked.get("before", FORMS[form]))
        page = range(first - 1, max(-1, first - 1 - int(asked["page_size"])), -1)
        return saying({"items": [answer(form, number) for number in page]})


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    served = Api()
    async with Loopback(otherwise=served) as server:
        monkeypatch.setenv("TYPEFORM_LIKE_URL", server.url)
        yield served


def params(*forms: str) -> dict[str, Any]:
    return {
        "type": "typeform",
        "access_token": "first-token",
        "refresh_token": "refresh-1",
        "forms": [{"name": form, "value": form} for form in forms],
    }


OPTIONS = {"refresh": {"client_id": "app", "client_secret": "sesame", "grant_type": "refresh_token"}}


def landed(sandbox: Sandbox, form: str) -> list[dict[str, Any]]:
    rows = sandbox.panoply.sql(f"select id, token, score, words from typeform_{form} order by score")
    return [{**row, "words": json.loads(row["words"])} for row in rows]


async def test_every_page_of_every_form_arrives_in_a_table_of_its_own(
    original: Callable[[str], ModuleType], api: Api, panoply: Panoply, sandbox: Sandbox
) -> None:
    seen: list[Any] = []

    report = await run_source(original("typeform_like").Stream, params(*FORMS), into=panoply, on_progress=seen.append)

    for form in ("survey", "poll"):
        assert landed(sandbox, form) == [answer(form, number) for number in range(FORMS[form])]
    assert report.complete
    assert report.tables == Counter({"typeform_survey": 2500, "typeform_poll": 1000})
    assert seen[0] == SourceProgress(0, 3, "", msg="0 of 3 forms loaded")
    assert len(seen) == report.reads


async def test_a_token_that_runs_out_between_two_pages_is_renewed_and_kept(
    original: Callable[[str], ModuleType], api: Api, panoply: Panoply, sandbox: Sandbox, tmp_path: Path
) -> None:
    module = original("typeform_like")
    logged: list[Any] = []

    class Stream(module.Stream):  # type: ignore[misc, name-defined] # a class out of a file that mypy does not see
        def read(self, n: int | None = None) -> Any:
            if self.before is not None:
                api.token = "second-token"
            return super().read(n)

    report = await run_source(
        Stream, params("survey"), {**OPTIONS, "logger": logged.append}, into=panoply, state=tmp_path / "state.json"
    )

    assert report.complete
    assert report.retries == 0
    assert landed(sandbox, "survey") == [answer("survey", number) for number in range(2500)]
    assert api.renewals == ["client_id=app&client_secret=sesame&grant_type=refresh_token&refresh_token=refresh-1"]
    kept = json.loads((tmp_path / "state.json").read_text())["source"]
    assert kept == {"access_token": "second-token", "refresh_token": "refresh-2"}
    assert ("there is a new access token",) in logged
    for secret in ("sesame", "refresh-1", "refresh-2", "second-token"):
        assert secret not in repr(logged)


async def test_its_own_five_tries_come_before_those_of_the_run(
    original: Callable[[str], ModuleType], api: Api, panoply: Panoply, sandbox: Sandbox
) -> None:
    logged: list[Any] = []
    api.trouble = {2: saying({}, 503), 3: DROP, 4: saying({}, 500), 5: DROP}

    report = await run_source(
        original("typeform_like").Stream, params("survey"), {"logger": logged.append}, into=panoply
    )

    assert report.complete
    assert report.retries == 0
    assert [msgs[0] for msgs in logged] == [f"try {number} failed" for number in (1, 2, 3, 4)]
    assert landed(sandbox, "survey") == [answer("survey", number) for number in range(2500)]


async def test_a_form_that_is_not_there_is_not_asked_for_again(
    original: Callable[[str], ModuleType], api: Api, panoply: Panoply, sandbox: Sandbox
) -> None:
    with pytest.raises(ReadFailed, match="there is no form at /forms/ghost/responses") as caught:
        await run_source(original("typeform_like").Stream, params("poll", "ghost"), into=panoply)

    assert (caught.value.attempts, caught.value.retryable) == (1, False)
    assert api.calls == 3
    assert len(landed(sandbox, "poll")) == FORMS["poll"]


async def test_its_values_are_asked_from_the_api(original: Callable[[str], ModuleType], api: Api) -> None:
    module = original("typeform_like")
    values = next(param for param in module.CONFIG["params"] if param["name"] == "forms")["values"]

    chosen = await asyncio.to_thread(values, params())

    assert chosen == [{"name": form.title(), "value": form} for form in FORMS]
    assert module.Stream({**params(), "forms": chosen}).source["destination"] == "typeform_{__table}"
