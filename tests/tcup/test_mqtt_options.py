"""Where the broker is: by argument, environment and file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.tcup.config_file import options_of, read_config
from asyncconn.tcup.streams.options import MqttOptions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "host is missing"),
        ({"host": " "}, "host is empty"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "port": "x"}, "port"),
        ({"host": "h", "keepalive": 0}, "keepalive"),
        ({"host": "h", "strange": 1}, "strange"),
        ({"host": "h", "password": "s3cret"}, "username"),
        ({"host": "h", "topic": "a/#"}, "wildcard"),
        ({"host": "h", "will": {"topic": "t", "qos": 2}}, "qos"),
        ({"host": "h", "will": {"payload": "x"}}, "topic"),
    ],
)
def test_options_that_cannot_work_are_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        MqttOptions.of(given)
    assert "s3cret" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(MqttOptions.of({"host": "h", "username": "v:u", "password": "s3cret"}))


def test_an_argument_is_above_the_environment_and_that_above_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ConfigFile.conf"
    file.write_text(
        "[tcup]\nURL = https://t\napi_key = k\n"
        "[mqtt]\nhost = file\nport = 1\nusername = v:u\npassword = p\ntls = false\n"
    )
    monkeypatch.setenv("ASYNCCONN_TCUP_MQTT_PORT", "2")
    monkeypatch.setenv("ASYNCCONN_TCUP_MQTT_USERNAME", "v:env")
    made = MqttOptions.of(options_of({"mqtt": {"username": "v:given"}}, read_config(file))["mqtt"])
    assert (made.host, made.port, made.username, made.tls) == ("file", 2, "v:given", False)
    assert made.password is not None
    assert made.password.get_secret_value() == "p"
