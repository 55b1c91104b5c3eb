"""The file that traffic is kept in: a line of JSON for each call, with no secret in it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

__all__ = ["MASK", "Played", "read_tape", "without_named", "written"]

MASK = "***"

#: Headers that show who asks, whatever stands in them.
HIDDEN = re.compile(r"authorization|cookie|api.?key|token|secret|signature", re.IGNORECASE).search

_NAMES = r"[\w.-]*(?:password|passwd|secret|token|api_?key|apikey|assertion|signature)"
_IN_JSON = re.compile(rf'("{_NAMES}"\s*:\s*")((?:[^"\\]|\\.)+)(")', re.IGNORECASE)
_IN_FORM = re.compile(rf"((?:^|[?&]){_NAMES}=)([^&#\s]+)()", re.IGNORECASE)


@dataclass(slots=True)
class Played:
    """A call as it was: bodies are bytes, or None for a request's that was streamed. Headers keep their order."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    status: int
    answer_headers: Sequence[tuple[str, str]]
    answer: bytes

    def fits(self, method: str, url: str, body: bytes | None) -> bool:
        """Whether it answers such a call. What was masked may be anything; a streamed body is not compared."""
        if method != self.method or not _pattern(self.url).fullmatch(url):
            return False
        if body is None or self.body is None:
            return body is self.body
        if MASK.encode() not in self.body:
            return body == self.body
        return bool(_pattern(self.body.decode("latin-1")).fullmatch(body.decode("latin-1")))


@lru_cache(maxsize=1024)
def _pattern(masked: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, masked.split(MASK))), re.DOTALL)


def without_named(text: str, found: Callable[[str], object] = lambda value: None) -> str:
    """The text without what is called a token, a password or the like, in JSON or in a form; ``found`` is told each.

    >>> without_named('{"access_token": "abc", "user": "x"}')
    '{"access_token": "***", "user": "x"}'
    """

    def masked(match: re.Match[str]) -> str:
        found(match[2])
        return f"{match[1]}{MASK}{match[3]}"

    return _IN_FORM.sub(masked, _IN_JSON.sub(masked, text))


# -- the file ----------------------------------------------------------------------------------------------------------


def written(calls: Iterable[Played], scrub: Callable[[str], str]) -> bytes:
    """The lines of a file, each text of them scrubbed."""

    def body(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return scrub(data.decode())
        except UnicodeDecodeError:  # a secret in it is found all the same
            return {"base64": base64.b64encode(scrub(data.decode("latin-1")).encode("latin-1", "replace")).decode()}

    def headers(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(name, MASK if HIDDEN(name) else scrub(value)) for name, value in pairs]

    lines = [
        {
            "method": one.method,
            "url": scrub(one.url),
            "headers": headers(one.headers),
            "body": body(one.body),
            "answer": {"status": one.status, "headers": headers(one.answer_headers), "body": body(one.answer)},
        }
        for one in calls
    ]
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()


def read_tape(path: Path) -> list[Played]:
    """The calls of a file, in order. Raises ``ConfigError`` for one that cannot be read, with the line."""

    def body(value: Any) -> bytes:
        return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()

    found: list[Played] = []
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):  # not splitlines(): a text may hold a U+2028
            if not line:
                continue
            one = json.loads(line)
            answer = one["answer"]
            pairs = [[(str(name), str(value)) for name, value in some] for some in (one["headers"], answer["headers"])]
            sent = None if one["body"] is None else body(one["body"])
            found.append(
                Played(one["method"], one["url"], pairs[0], sent, answer["status"], pairs[1], body(answer["body"]))
            )
    except OSError as error:
        raise ConfigError(f"the recording {path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"line {len(found) + 1} of {path} is not one of a recording: {error!r}") from error
    return found
