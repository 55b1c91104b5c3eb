"""A form with one file in it, written around the file while that is sent (RFC 7578). Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from asyncconn.errors import ConfigError
from asyncconn.http.outgoing import check_headers

__all__ = ["Multipart"]

_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # as browsers do (WHATWG): all else is UTF-8


@dataclass(frozen=True, slots=True)
class Multipart:
    """The form that an upload is part of: ``name`` of the file's part, its ``filename``, and other ``fields`` of text.

    >>> form = Multipart("file", "a.csv", fields={"metadata": "colour=blue"})
    >>> await acme.http.upload("/v1/files", "a.csv", method="POST", form=form)

    The fields come before the file, so that a server knows them when the file begins. Raises ``ConfigError`` for a
    ``content_type`` that is no header.
    """

    name: str
    filename: str
    _: KW_ONLY
    content_type: str = "application/octet-stream"
    fields: Mapping[str, str] = field(default_factory=dict)
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        check_headers({"Content-Type": self.content_type})

    @property
    def header(self) -> str:
        """The request's Content-Type."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def head(self) -> bytes:
        """What comes before the file."""
        parts = [f"{self._part(name)}\r\n{text}\r\n" for name, text in self.fields.items()]
        named = self._part(self.name, f'; filename="{self.filename.translate(_ESCAPED)}"')
        return _bytes("".join([*parts, named, f"Content-Type: {self.content_type}\r\n\r\n"]))

    @property
    def tail(self) -> bytes:
        """What comes after it."""
        return f"\r\n--{self.boundary}--\r\n".encode()

    def _part(self, name: str, more: str = "") -> str:
        return f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPED)}"{more}\r\n'


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigError("a form's fields and file name hold half a character (a lone surrogate)") from None
