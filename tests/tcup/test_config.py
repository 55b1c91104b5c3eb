"""A client from a file, from the environment, and from arguments: the nearer one wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub
from asyncconn.core.rates.windows import Window
from asyncconn.errors import ConfigError
from asyncconn.tcup import Tcup
from asyncconn.tcup.config_file import options_of, read_config

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0" * 64

#: As the contract shows it.
WHOLE = f"""
[tcup]
URL = https://in.tcupiot.com/
api_key = {KEY}
dls_key =
app_key =
auth_mode = apikey            ; apikey | jwt
symmetric_key =
symmetric_key_encoding = utf8 ; utf8 | base64
default_timezone =
timeout = 30
verify_tls = true
ca_file =
routing_key = key#demo
direct_exchange = Direct.Exchange

[Paths]
sos_path = /sos
ws_path = /WebSocket

[mqtt]
host = in.tcupiot.com
username = user1@tcup:user1
password =
"""


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "API_KEY", "TIMEOUT", "AUTH_MODE"):
        monkeypatch.delenv(f"ASYNCCONN_TCUP_{name}", raising=False)


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "ConfigFile.conf"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_contracts_file_is_read(tmp_path: Path, encoding: str) -> None:
    tcup = Tcup.from_file(written(tmp_path, WHOLE, encoding))

    assert tcup.http.base_url == "https://in.tcupiot.com"
    assert tcup.http.timeouts.total == 30.0
    assert tcup.observations._caller.routes.path("observations.insert") == "/sos/observations"


def test_a_file_without_sections_and_names_in_any_case(tmp_path: Path) -> None:
    found = read_config(written(tmp_path, f"url = https://x.example # theirs\nAPI_KEY = {KEY}\n"))

    assert found == {"tcup": {"url": "https://x.example", "api_key": KEY}}


def test_an_argument_is_above_the_environment_and_that_above_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, f"URL = https://file.example\napi_key = {KEY}\ntimeout = 7\ndirect_exchange = Of.File\n")
    monkeypatch.setenv("ASYNCCONN_TCUP_URL", "https://environment.example")
    monkeypatch.setenv("ASYNCCONN_TCUP_TIMEOUT", "8")
    monkeypatch.setenv("ASYNCCONN_TCUP_SOS_PATH", "/of/environment")
    found = options_of({"timeout": 9.0, "paths": {"mr_path": "/mine"}, "app_key": None}, read_config(path))

    assert (found["url"], found["timeout"]) == ("https://environment.example", 9.0)
    assert found["direct_exchange"] == "Of.File"
    assert found["paths"] == {"sos_path": "/of/environment", "mr_path": "/mine"}


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_TCUP_URL", "https://environment.example/")
    monkeypatch.setenv("ASYNCCONN_TCUP_API_KEY", KEY)
    monkeypatch.setenv("ASYNCCONN_TCUP_DLS_KEY", "")

    assert Tcup.from_env().http.base_url == "https://environment.example"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("URL = https://x.example", "api_key"),
        (f"api_key = {KEY}", "url"),
        ("[tcpu]\nURL = x", r"no section \[tcpu\]"),
        (f"api_keys = {KEY}", "no option api_keys"),
        (f"URL = https://x.example\napi_key = {KEY}\nauth_mode = jwt", "symmetric_key"),
        (f"URL = https://x.example\napi_key = {KEY}\nauth_mode = none", "auth_mode"),
        (f"URL = https://x.example\napi_key = {KEY}\nverify_tls = false", "verify_tls"),
        (f"URL = https://x.example\napi_key = {KEY}\ntimeout = soon", "(?i)timeout"),
        (f"URL = https://x.example\napi_key = {KEY}\ndefault_timezone = XYZ", "default_timezone"),
        (f"[tcup]\napi_key {KEY}", "in line 2"),
        (f"api_key = {KEY}\napi_key = {KEY}", "duplicate"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_value_is(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        Tcup.from_file(written(tmp_path, text))

    told = raised.getrepr(style="native") if hasattr(raised, "getrepr") else str(raised.value)
    assert KEY not in str(raised.value)
    assert raised.value.__context__ is None or KEY not in str(raised.value.__context__), told


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Tcup.from_file(tmp_path / "none.conf")
    with pytest.raises(ConfigError, match="UTF-8"):
        Tcup.from_file(written(tmp_path, "URL = é", "latin-1"))


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": ""}, {"api_key": "a b"}, {"api_key": "a\n"}, {"api_key": 7}, {"url": "ftp://x"}, {"dls_key": "ü"},
        {"auth_mode": "jwt", "symmetric_key": "k", "algorithm": "none"}, {"auth_mode": "jwt", "symmetric_key": ""},
        {"auth_mode": "jwt", "symmetric_key": "short", "symmetric_key_encoding": "base64"},
        {"auth_mode": "jwt", "symmetric_key": "k", "symmetric_key_encoding": "hex"}, {"paths": {"sos": "/x"}},
    ],
)  # fmt: skip
def test_a_client_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Tcup(**{"url": "https://x.example", "api_key": KEY, **options})


def test_a_client_shows_none_of_its_keys() -> None:
    tcup = Tcup("https://x.example", KEY, dls_key="dls-secret", app_key="app-secret")

    assert KEY not in repr(tcup)
    assert "secret" not in repr(vars(tcup))


def test_a_given_hub_is_kept_open_and_all_services_share_one_account() -> None:
    hub = Hub()
    tcup = Tcup("https://x.example", KEY, hub=hub, rates=Window(10, 1.0), app_key="app-secret")
    parts = {id(part) for one in tcup._services for limiter in one.http.limiters.values() for part in limiter.parts}

    assert tcup.hub is hub
    assert len(parts) == 1
