"""Key and secret, the queue they lead to, and what is said of those that cannot be right."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from captures import PANOPLY as CAPTURES
from pydantic import SecretStr

from asyncconn import Hub, Panoply
from asyncconn.errors import ConfigError
from asyncconn.panoply import wire

KEY = "acme/k1r4nd0mr4nd0m01"
PARTS = ("r4nd2r4nd2r4nd22", "3f2b8c1e-0000-4000-8000-0123456789ab", "123456789012", "us-east-1")


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SECRET = base64_of("/".join(PARTS))


def secret_with(**changed: str) -> str:
    names = ("rand2", "uuid", "aws_account", "region")
    return base64_of("/".join({**dict(zip(names, PARTS, strict=True)), **changed}.values()))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture["name"])
def test_the_queue_is_the_one_the_original_posted_to(capture: dict[str, Any]) -> None:
    credentials = wire.parse_credentials(capture["apikey"], capture["apisecret"])
    assert credentials.endpoint_url + credentials.queue_path == capture["queue_url"]


def test_a_plus_behind_the_slash_of_the_key_is_no_part_of_the_queue() -> None:
    capture = next(c for c in CAPTURES if c["name"] == "attributes_unescaped")
    credentials = wire.parse_credentials(capture["apikey"], capture["apisecret"])
    assert credentials.endpoint_url + credentials.queue_path == capture["queue_url"]
    assert credentials.api_key.get_secret_value() == "acme/r+1"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "sqs.us-east-1.amazonaws.com"),
        ("eu-central-1", "sqs.eu-central-1.amazonaws.com"),
        ("cn-north-1", "sqs.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "sqs.cn-northwest-1.amazonaws.com.cn"),
        ("us-gov-west-1", "sqs.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_host_follows_from_the_region(region: str, host: str) -> None:
    assert wire.parse_credentials(KEY, secret_with(region=region)).endpoint_url == f"https://{host}"


def test_further_parts_of_the_secret_are_ignored() -> None:
    longer = base64_of("/".join([*PARTS, "more", "and-more"]))
    assert wire.parse_credentials(KEY, longer).queue_path == "/123456789012/sdk-acme-r4nd2r4nd2r4nd22"


def test_key_and_secret_may_be_of_the_type_that_does_not_print() -> None:
    credentials = wire.parse_credentials(SecretStr(KEY), SecretStr(SECRET))
    assert wire.message_attributes(credentials, "x-1")["secret"] == SECRET


NOT_TEXT = "must be text, not "
NOT_BASE64 = "does not decode"
BAD_CHARACTER = "contains a space or a character"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, ["key", NOT_TEXT + "NoneType"]),
        (KEY.encode(), ["key", NOT_TEXT + "bytes"]),
        (5, ["key", NOT_TEXT + "int"]),
        ("", ["key", "is empty"]),
        (f" {KEY}", ["key", BAD_CHARACTER]),
        (f"{KEY}\n", ["key", BAD_CHARACTER]),
        ("acme/k1 r4nd", ["key", BAD_CHARACTER]),
        ("äcme/k1", ["key", BAD_CHARACTER]),
        ("/k1r4nd0m", ["key", "ACCOUNT/RANDOM"]),
        ("a?b/k1r4nd0m", ["key", "ACCOUNT/RANDOM"]),
        ("a%2fb/k1r4nd0m", ["key", "ACCOUNT/RANDOM"]),
    ],
)
def test_what_is_wrong_with_a_key_is_said(key: Any, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        wire.parse_credentials(key, SECRET)
    for words in says:
        assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (None, NOT_TEXT + "NoneType"),
        (SECRET.encode(), NOT_TEXT + "bytes"),
        ("", "is empty"),
        (f"{SECRET} ", BAD_CHARACTER),
        (f"{SECRET[:8]}\n{SECRET[8:]}", BAD_CHARACTER),
        ("plainly-not-base64!", NOT_BASE64),
        (SECRET[:-1], NOT_BASE64),
        (base64.b64encode(b"\xff/\xfe/1/us-east-1").decode(), NOT_BASE64),
        (SECRET[:24], "2 parts instead of 4"),
        (SECRET[:72], "3 parts instead of 4"),
        (base64_of("only"), "1 parts instead of 4"),
        (base64_of("a/b/c"), "3 parts instead of 4"),
        (secret_with(rand2=""), "random part is empty"),
        (secret_with(aws_account=""), "AWS account is empty"),
        (secret_with(region=""), "region is empty"),
        (secret_with(region="us east"), "region is empty or cannot stand in a URL"),
        (secret_with(rand2="a?b"), "random part is empty or cannot stand in a URL"),
        (secret_with(region="evil.example:80#"), "region is empty or cannot stand in a URL"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said(secret: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wire.parse_credentials(KEY, secret)
    assert says in str(caught.value)
    assert "Panoply secret" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("secret", [SECRET[:-1], SECRET[:24], base64_of("hush1/hush2/hush3"), secret_with(region="")])
def test_no_error_of_a_secret_quotes_it(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wire.parse_credentials(KEY, secret)
    for part in (secret, *PARTS[:3], "hush", KEY):
        assert part not in repr(caught.value)


def test_credentials_do_not_print_what_they_hold() -> None:
    shown = repr(wire.parse_credentials(KEY, SECRET))
    for part in (KEY, SECRET, *PARTS[:2]):
        assert part not in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sender": "carrier pigeon"}, "sender must be 'form' or 'sqs'"),
        ({"max_message_bytes": 100}, "leaves no room"),
        ({"endpoint_url": "ftp://127.0.0.1"}, "base URL"),
        ({"endpoint_url": "http://user:pass@127.0.0.1"}, "base URL"),
        ({"endpoint_url": "127.0.0.1:9324"}, "base URL"),
        ({"client_name": ""}, "client_name"),
        ({"client_name": "line\nfeed"}, "client_name"),
    ],
)
def test_an_option_that_cannot_work_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Panoply(KEY, SECRET, hub=Hub(), **options)


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_PANOPLY_API_KEY", KEY)
    monkeypatch.setenv("ASYNCCONN_PANOPLY_API_SECRET", SECRET)
    monkeypatch.setenv("ASYNCCONN_PANOPLY_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Panoply.from_env(hub=Hub()).http.base_url == "http://127.0.0.1:1"


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNCCONN_PANOPLY_API_SECRET", raising=False)
    monkeypatch.setenv("ASYNCCONN_PANOPLY_API_KEY", KEY)
    with pytest.raises(ConfigError, match="ASYNCCONN_PANOPLY_API_SECRET") as caught:
        Panoply.from_env(hub=Hub())
    assert KEY not in repr(caught.value)
