"""Addresses that a caller gives, checked before they are written into something."""

from __future__ import annotations

from urllib.parse import urlsplit

from asyncconn.errors import ConfigError

__all__ = ["check_url"]


def check_url(text: str, what: str) -> None:
    """Raise ``ConfigError`` unless it is ``http(s)://host[:port][/path]``; it quotes nothing that may be a password."""
    try:
        url = urlsplit(text)
        host, named, _ = url.hostname, url.username is not None or url.password is not None, url.port
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"{what} is not a URL") from None
    if named:
        raise ConfigError(f"{what} takes no user or password")
    if "?" in text or "#" in text:
        raise ConfigError(f"{what} takes no query or fragment")
    if url.scheme not in ("http", "https") or not host or not text.isprintable() or " " in text or "\\" in text:
        quoted = "" if "@" in text else f", not {text!r}"
        raise ConfigError(f"{what} must be http(s)://host[:port][/path]{quoted}")
