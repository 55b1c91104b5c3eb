"""Settings come from the environment or a .env file, and errors name variables, never values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from secrecy import chain, locals_of_ours

from asyncconn.errors import ConfigError
from asyncconn.hub import Hub
from asyncconn.panoply import Panoply
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.settings import HubSettings, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "API_SECRET", "ENDPOINT_URL", "SENDER"):
        monkeypatch.delenv(f"ASYNCCONN_PANOPLY_{name}", raising=False)
    return tmp_path


def test_without_anything_the_hub_has_its_defaults() -> None:
    settings = load(HubSettings)

    assert (settings.max_connections, settings.shutdown_timeout) == (100, 30.0)


def test_the_environment_counts_more_than_the_file_and_the_file_more_than_the_default(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty / ".env").write_text("ASYNCCONN_MAX_CONNECTIONS=5\nASYNCCONN_SHUTDOWN_TIMEOUT=6\nOTHER=1\n")
    monkeypatch.setenv("ASYNCCONN_SHUTDOWN_TIMEOUT", "7.5")
    settings = load(HubSettings)

    assert (settings.max_connections, settings.shutdown_timeout, settings.dns_cache_seconds) == (5, 7.5, 300)
    assert load(HubSettings, max_connections=9, shutdown_timeout=None).max_connections == 9


async def test_a_hub_and_a_connector_read_the_file(empty: Path) -> None:
    (empty / ".env").write_text("ASYNCCONN_MAX_CONNECTIONS=5\nASYNCCONN_PANOPLY_API_KEY=k\n")
    assert Hub().settings.max_connections == 5
    with pytest.raises(ConfigError) as caught:
        Panoply.from_env()

    assert "ASYNCCONN_PANOPLY_API_SECRET" in str(caught.value)
    assert "ASYNCCONN_PANOPLY_API_KEY" not in str(caught.value)


def test_errors_name_every_variable_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_MAX_CONNECTIONS", "s3cret")
    monkeypatch.setenv("ASYNCCONN_SHUTDOWN_TIMEOUT", "-5150")
    with pytest.raises(ConfigError) as caught:
        load(HubSettings)

    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "ASYNCCONN_MAX_CONNECTIONS" in shown
    assert "ASYNCCONN_SHUTDOWN_TIMEOUT" in shown
    assert "s3cret" not in shown
    assert "5150" not in shown


def test_a_sender_that_does_not_exist_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"API_KEY": "k", "API_SECRET": "s3cret", "SENDER": "pigeon"}.items():
        monkeypatch.setenv(f"ASYNCCONN_PANOPLY_{name}", value)
    with pytest.raises(ConfigError, match="ASYNCCONN_PANOPLY_SENDER") as caught:
        load(PanoplySettings)

    assert "pigeon" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_settings_made_by_hand_do_not_quote_what_does_not_fit() -> None:
    with pytest.raises(ValidationError) as caught:
        PanoplySettings.model_validate({"api_key": ["s3cret"], "api_secret": "s3cret", "sender": "form"})

    assert "s3cret" not in str(caught.value)


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PanoplySettings(api_key="s3cret", api_secret="s3cret")

    assert "s3cret" not in f"{settings} {settings!r} {settings.model_dump()}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_may_begin_with_a_byte_order_mark(empty: Path, encoding: str) -> None:
    (empty / ".env").write_text("ASYNCCONN_MAX_CONNECTIONS=5\n", encoding=encoding)

    assert load(HubSettings).max_connections == 5


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-32"])
def test_a_file_in_another_encoding_is_named_and_not_quoted(empty: Path, encoding: str) -> None:
    (empty / ".env").write_text("ASYNCCONN_PANOPLY_API_KEY=s3cret-é\n", encoding=encoding)
    with pytest.raises(ConfigError, match=r"the file \.env with settings is not UTF-8") as caught:
        Hub()

    assert [*chain(caught.value)] == [caught.value]
    assert "s3cret" not in "".join(locals_of_ours(caught.value))


def test_settings_that_do_not_fit_come_without_the_error_that_holds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_MAX_CONNECTIONS", "s3cret")
    with pytest.raises(ConfigError) as caught:
        Hub()

    assert [*chain(caught.value)] == [caught.value]
    assert "s3cret" not in "".join(locals_of_ours(caught.value))
