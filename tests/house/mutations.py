"""Answers made wrong in every way a server can: statuses, headers, bodies, and the bytes around them. Seeded."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from loopback import Reply

STATUSES = (
    *(200, 200, 200, 200, 201, 202, 203, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 417, 418, 421, 422, 423, 424),
    *(
        425,
        426,
        428,
        429,
        429,
        431,
        451,
        499,
        500,
        501,
        502,
        503,
        503,
        504,
        505,
        507,
        508,
        511,
        520,
        599,
        600,
        777,
        999,
    ),
)

TIMES = (
    *("", " ", "0", "-1", "00", "1", "1.5", "7", "1e9", "31536000", "999999999", "99999999999999999999"),
    *("nan", "inf", "soon", "1;2", "\u0663"),
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    "Mon, 32 Foo 2026 99:99:99 GMT",
    "Thu, 01 Jan 1970 00:00:00 +9999",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Sat, 01 Jan 0001 00:00:00 +2359",
    "2026-01-01T00:00:00Z",
    "Sun, 06 Nov 1994 08:49:37",
)

COUNTS = ("", "0", "1", "-1", "57", "60", "1.5", "9" * 17, "9" * 40, "nan", "x", "٣", "0x10", "1767225660000", " 12 ")

TYPES = (
    "", "application/json", "application/json; charset=utf-16", "application/json; charset=no-such", "text/html",
    "text/html; charset=utf-8", "text/csv; charset=iso-8859-1", "text/plain", "application/octet-stream", ";;;", "json",
    'application/json; charset="', "application/json; charset=undefined", "application/json;charset=idna",
    "x/" + "y" * 400,
    "application/problem+json", "multipart/form-data; boundary=x", "application/json; charset=utf-8; charset=latin-1",
)  # fmt: skip

NAMES = (
    'attachment; filename="../../outside.csv"', 'attachment; filename="/etc/passwd"', 'attachment; filename=".hidden"',
    'attachment; filename=".."', 'attachment; filename="a\\b.csv"', 'attachment; filename=""', "attachment; filename=x",
    'attachment; filename="' + "n" * 300 + '.csv"', "attachment; filename*=UTF-8''%2e%2e%2fx",
    'attachment; filename="c:x"',
)  # fmt: skip

RATES = (
    "X-RateLimit-Reset", "X-DailyQuota-Rest",
    *(f"X-PlatformRateLimit-{part}" for part in ("Limit", "Remaining", "Reset")),
    *(f"X-QueryRateLimit-{part}" for part in ("Limit", "Remaining", "Reset")),
    *(f"X-DailyQuota-{part}" for part in ("Limit", "Remaining", "Reset")),
)  # fmt: skip

#: What may stand where something else was promised. As JSON text, since some of it no encoder writes.
ODD = (
    "null", "true", "false", "0", "-1", "1.5", "1e308", "1e999", "-0.0", "NaN", "Infinity",
    "123456789012345678901234567890",
    "9007199254740993", '""', '" "', '"x"', '"../../../outside/x"', '"/etc/passwd"', '"a\\u0000b"',
    '"\\ud800"', '"%2e%2e"',
    '"2026-02-31"', '"99999-01-01"', '"2026-01-01"', "1767225660000", "99999999999999999", "[]", "{}", "[null]", "[[]]",
    '{"a": null}', '[1, "2", null, {}]', '{"id": "x"}', '"SUCCESS"', '"no such word"', '"\\u0660"', '"=1+1"',
    "[" * 60 + "]" * 60,
)  # fmt: skip


@dataclass
class Given:
    """An answer as it should be, and where it is from: ``capture`` is said when an example fails."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    capture: str = ""


class Mutator:
    """Makes answers wrong. ``said`` tells what was done, for the message of an example that fails."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.said: list[str] = []

    def __call__(self, given: Given) -> Reply:
        """One to three things wrong with it, or (now and then) nothing."""
        chosen = self.random
        steps: list[Callable[[Given], Given]] = []
        if chosen.random() > 0.15:
            ways = (self._node, self._node, self._node, self._status, self._header, self._header, self._whole)
            steps = chosen.choices(ways, k=chosen.choice((1, 1, 1, 2, 3)))
        for step in steps:
            given = step(given)
        self.said.append(f"{given.capture}: {', '.join(step.__name__.strip('_') for step in steps) or 'as it is'}")
        raw = self._raw(given)
        self.said.append(f"  {raw[:300]!r}{'...' if len(raw) > 300 else ''}")
        return Reply(raw=raw, close=True)

    # -- parts of it ---------------------------------------------------------------------------------------------------

    def _status(self, given: Given) -> Given:
        return replace(given, status=self.random.choice(STATUSES))

    def _header(self, given: Given) -> Given:
        pick = self.random.choice
        name, values = pick(
            (
                ("Retry-After", TIMES), ("Date", TIMES), ("Content-Type", TYPES), ("Content-Disposition", NAMES),
                (pick(RATES), COUNTS), (pick(RATES), COUNTS),
                ("Content-Encoding", ("gzip", "br", "zstd", "x", "", "deflate")),
                ("Location", ("/", "http://x/", "")), ("Set-Cookie", ("a=b", "", "a=b; expires=never", "\u00fc=1")),
                ("X-Odd", ("\u00e4\u00f6", "x" * 5000)), ("WWW-Authenticate", ("", "Basic", "Basic realm=")),
            )
        )  # fmt: skip
        return replace(given, headers={**given.headers, name: pick(values)})

    def _whole(self, given: Given) -> Given:
        body, pick = given.body, self.random
        ways: tuple[Callable[[], bytes], ...] = (
            lambda: b"",
            lambda: b"   ",
            lambda: b"null",
            lambda: body[: pick.randrange(len(body) + 1)],
            lambda: b"\xef\xbb\xbf" + body,
            lambda: body.decode("utf-8", "replace").encode("utf-16"),
            lambda: body + body,
            lambda: bytes(pick.randrange(256) for _ in range(pick.randrange(1, 200))),
            lambda: b"<html><body>It works</body></html>",
            lambda: gzip.compress(body),
            lambda: b"[" * 100_000,
            lambda: b'{"a":' * 900 + b"1" + b"}" * 900,
            lambda: b"[" * 900 + b"]" * 900,
            lambda: b"[" + body + b"]",
            lambda: b'{"data": ' + body + b"}",
            lambda: b'{"status": "success", "data": ' + body + b"}",
            lambda: b'{"error": ' + body + b', "stackTrace": "x"}',
            lambda: b"\x00" * 20,
            lambda: json.dumps("x" * 100_000).encode(),
            lambda: b"pong",
            lambda: b"true",
        )
        return replace(given, body=pick.choice(ways)())

    def _node(self, given: Given) -> Given:
        """Another value, or another member, somewhere in the JSON."""
        try:
            tree: Any = json.loads(given.body)
        except ValueError:
            return self._whole(given)
        places = list(_places(tree))
        if not places:
            return replace(given, body=self.random.choice(ODD).encode())
        holder, key = self.random.choice(places)
        mark = "@here@"
        if isinstance(holder, dict) and self.random.random() < 0.2:
            if self.random.random() < 0.5:
                del holder[key]
            else:
                holder[self.random.choice(("id", "status", "data", "errors", "error", "", "\u00fc", "__class__"))] = (
                    mark
                )
        elif isinstance(holder, list) and self.random.random() < 0.2:
            holder.append(mark)
        else:
            holder[key] = mark
        text = json.dumps(tree).replace(json.dumps(mark), self.random.choice(ODD))
        return replace(given, body=text.encode("utf-8", "surrogatepass"))

    # -- on the wire ---------------------------------------------------------------------------------------------------

    def _raw(self, given: Given) -> bytes:
        headers = {"Content-Length": str(len(given.body)), **given.headers}
        body, odd = given.body, self.random.random()
        early = b""
        if odd < 0.03:
            headers["Content-Length"] = str(len(body) + self.random.choice((1, 1000)))  # and it ends early
        elif odd < 0.05:
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
            body = self.random.choice(
                (b"zz\r\n", b"5\r\nab", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), b"-1\r\n\r\n")
            )
        elif odd < 0.06:
            del headers["Content-Length"]
        elif odd < 0.07:
            early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        elif odd < 0.075:
            return self.random.choice(
                (b"", b"HTTP/1.1", b"\x00\xff\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc OK\r\n\r\n")
            )
        lines = [f"HTTP/1.1 {given.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
        return early + "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every value inside, as its holder and its key."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, dict | list):
            entries = holder.items() if isinstance(holder, dict) else enumerate(holder)
            for key, value in entries:
                found.append((holder, key))
                waiting.append(value)
    return found
