"""The four properties of the old plugin, which keep their passwords to themselves."""

from __future__ import annotations

import base64
import logging
import traceback
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from asyncconn.atoti_limits.offline.legacy import LegacyLimitsProperties, java_relatives
from asyncconn.errors import ConfigError

PASSWORD = "made-up-pass-word"


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(("plugin", "version"), [("plugin_0.7.4", "2.0.0"), ("plugin_0.6.4", "1.1.0")])
def test_the_defaults_are_the_plugin_s(plugin: str, version: str) -> None:
    assert LegacyLimitsProperties(version=version).render() == CAPTURES["gen1_properties"][plugin]


def test_what_is_given_is_rendered_each_in_its_place() -> None:
    properties = LegacyLimitsProperties(
        rest_url="https://limits.example:8443/base/limits/rest/v2/",
        auth=encoded("ann:a"),
        ap_auth=SecretStr(encoded("bob:b:c")),
        content_server_auth=("Zoë", SecretStr("ü")),
        version="1.0.0",
    )

    assert properties.render() == {
        "limits.rest.url": "https://limits.example:8443/base/limits/rest/v2/",
        "limits.auth": encoded("ann:a"),
        "ap.auth": encoded("bob:b:c"),
        "content.server.auth": encoded("Zoë:ü"),
    }
    assert properties.user == "ann"
    assert (properties.ap_auth.user, properties.content_server_auth.user) == ("bob", "Zoë")


@given(
    st.text(min_size=1).filter(lambda text: ":" not in text and text.isprintable()), st.text().filter(str.isprintable)
)
def test_a_pair_and_its_base64_are_the_same(user: str, password: str) -> None:
    pair = LegacyLimitsProperties(auth=(user, password))

    assert pair.user == user
    assert LegacyLimitsProperties.read(pair.render()) == pair


def test_what_was_rendered_is_read_again_and_other_properties_are_left_alone() -> None:
    properties = LegacyLimitsProperties(auth=("ann", PASSWORD), version="1.1.0")

    assert LegacyLimitsProperties.read(properties.render() | {"server.port": "9"}) == properties
    assert LegacyLimitsProperties.read({}, version="1.1.0") == LegacyLimitsProperties(version="1.1.0")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://localhost:3090/limits/rest/v2", "needs a slash at its end"),
        ("localhost:3090/", "must be http"),
        ("ftp://localhost/", "must be http"),
        ("http:///rest/", "must be http"),
        ("http://local host/", "must be http"),
        ("http://localhost/\n", "must be http"),
        ("http://localhost:99999/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://localhost/?a=b/", "no query or fragment"),
        ("http://localhost/#/", "no query or fragment"),
        ("", "must be http"),
        (7, "is not a URL"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=f"limits.rest.url.*{says}"):
        LegacyLimitsProperties(rest_url=url)


BAD: list[Any] = [
    PASSWORD,
    f"admin:{PASSWORD}",
    encoded(PASSWORD),
    encoded(f":{PASSWORD}"),
    encoded(f"admin:{PASSWORD}\n"),
    encoded(f"admin:{PASSWORD}")[:-1],
    encoded(f"admin:{PASSWORD}") + "\n",
    base64.b64encode(f"admin:{PASSWORD}é".encode("latin-1")).decode(),
    ("ad:min", PASSWORD),
    ("", PASSWORD),
]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    ("field", "key"), [("auth", "limits.auth"), ("ap_auth", "ap.auth"), ("content_server_auth", "content.server.auth")]
)
def test_a_credential_that_cannot_work_is_refused_and_not_quoted(field: str, key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}\b") as caught:
        LegacyLimitsProperties(**{field: value})
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told
    assert not isinstance(value, str) or value.strip() not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{PASSWORD}@localhost/",
        f"ann:{PASSWORD}@localhost/",
        f"http:ann:{PASSWORD}@localhost/",
        f"http://localhost/?key={PASSWORD}",
        f"http://localhost/#{PASSWORD}",
        f"http://ann:{PASSWORD}@[::1/",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LegacyLimitsProperties(rest_url=url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_no_credential_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    properties = LegacyLimitsProperties(
        auth=("ann", PASSWORD), ap_auth=("bob", PASSWORD), content_server_auth=encoded(f"eve:{PASSWORD}")
    )
    shown = f"{properties!r} {properties} {properties.auth!r} {caplog.text}"

    assert PASSWORD not in shown
    assert all(encoded(f"{user}:{PASSWORD}") not in shown for user in ("ann", "bob", "eve"))
    assert "ann" in shown


def test_properties_of_a_java_server_are_recognised_by_their_names() -> None:
    found = java_relatives(
        [
            "ap.auth.map",
            "ap.url.map.atoti",
            "limits.connected-server.auth.map[atoti]",
            "limits.rest-url",
            "limits.rest.url",
            "ap.auth",
            "ap.auth.mapping",
        ]
    )

    assert {key: relative.counterpart for key, relative in found.items()} == {
        "ap.auth.map": "ap.auth",
        "ap.url.map.atoti": None,
        "limits.connected-server.auth.map[atoti]": "ap.auth",
        "limits.rest-url": "limits.rest.url",
    }
    assert found["ap.url.map.atoti"].meaning == "URL of each connected server"
