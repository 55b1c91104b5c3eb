"""What SOS truly answers: its 200 is no success, the status stands inside. Pure functions.

Which members hold it is published nowhere, so every likely one is looked at. Contract: tcup sections 1.6, 13.7, 13.35.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any

from asyncconn.core.extras import extra

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ItemResult", "Verdict", "all_done", "status_in", "verdict"]

logger = logging.getLogger("asyncconn.tcup")

_MEMBERS = ("code", "statusCode", "httpStatusCode", "httpStatus", "status", "responseCode")
_WORDS = (
    (re.compile(r"created\b", re.IGNORECASE), 201),
    (re.compile(r"(ok|success|updated|deleted)\b", re.IGNORECASE), 200),
    (re.compile(r"(conflict|already exists)\b", re.IGNORECASE), 409),
    (re.compile(r"not found\b", re.IGNORECASE), 404),
    (re.compile(r"(bad request\b|invalid)", re.IGNORECASE), 400),
    (re.compile(r"unauthorized\b", re.IGNORECASE), 401),
    (re.compile(r"forbidden\b", re.IGNORECASE), 403),
)
_UNKNOWN = 500
_PARTLY = 207


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item of a write: its place in the call, its id, the status as a number and as a word.

    >>> ItemResult(0, "ts1", 201, "Created").ok
    True
    """

    index: int
    id: str | None
    code: int
    status: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was carried out."""
        return self.code < 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """The effective ``status`` of an answer, and what it says of its items, ``found`` as it came."""

    status: int
    said: str = ""
    found: list[Any] | tuple[()] = ()
    http_status: int = 200

    @property
    def results(self) -> tuple[ItemResult, ...]:
        """The result of each item, where the answer tells."""
        return tuple(_result(place, one, self.http_status) for place, one in enumerate(self.found))

    @property
    def message(self) -> str:
        """What it says, or of the first item that was refused."""
        return self.said or next((one.message for one in self.results if not one.ok), "")


def verdict(body: Any, http_status: int) -> Verdict:
    """What an answer to a write means: ``body`` is its JSON, None for an empty one.

    >>> verdict({"code": 404, "message": "sensor is not registered"}, 200).status
    404

    A list is a result for each item: 207 where some were carried out and others not, else what the first one says.
    """
    if isinstance(body, list):
        return Verdict(_together(body, http_status), "", body, http_status)
    if not isinstance(body, dict):
        return Verdict(http_status)
    found = body.get("results")
    found = found if isinstance(found, list) else []
    status = status_in(body)
    if status is None or (status == _UNKNOWN and found and _said_number(body) is None):
        status = http_status  # or what the items say, below
        if not found and ("message" in body or "status" in body):
            logger.warning(
                "SOS: an answer without a status that is known: it counts as its HTTP status %d", http_status
            )
    if status < 400 and not _all_ok(found):
        status = _together(found, status)
    said = body.get("message")
    return Verdict(status, said if isinstance(said, str) else "", found, http_status)


def all_done(body: bytes) -> bool:
    """Whether an answer says by numbers that its call and each item were carried out; False: ask :func:`verdict`.

    For the usual answer to hundreds of items: msgspec checks it in a third of the time that it takes to make dicts of
    it. Without msgspec it is always False.
    """
    check = _done()
    if check is None:
        return False
    try:
        return bool(check(body).code != _PARTLY)
    except ValueError:  # refused in part, or told in another way
        return False


@lru_cache(maxsize=1)
def _done() -> Callable[[bytes], Any] | None:
    if importlib.util.find_spec("msgspec") is None:
        return None
    msgspec = extra("msgspec", "speed")
    code = Annotated[int, msgspec.Meta(ge=100, lt=400)]
    item = msgspec.defstruct("Item", [("code", code)], gc=False)
    answer = msgspec.defstruct("Answer", [("code", code), ("results", GenericAlias(list, (item,)), ())], gc=False)
    check: Callable[[bytes], Any] = msgspec.json.Decoder(answer).decode
    return check


def status_in(body: dict[str, Any]) -> int | None:
    """The status that a JSON object tells in one of its many ways; None if it tells none."""
    if (number := _said_number(body)) is not None:
        return number
    word = body.get("status")
    if isinstance(word, str) and word.strip():
        return _meaning(word) or _UNKNOWN
    message = body.get("message")
    return _meaning(message) if isinstance(message, str) else None


def _said_number(body: dict[str, Any]) -> int | None:
    return next((number for name in _MEMBERS if (number := _number(body.get(name))) is not None), None)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{3}\s*", value, re.ASCII):
        value = int(value)
    return value if type(value) is int and 100 <= value < 600 else None


def _meaning(word: str) -> int | None:
    word = word.strip().replace("_", " ")
    return next((status for known, status in _WORDS if known.match(word)), None)


def _result(place: int, one: Any, http_status: int) -> ItemResult:
    if not isinstance(one, dict):
        return ItemResult(place, None, http_status)
    index = one.get("index", one.get("line"))
    status = status_in(one)
    name, word, message = one.get("id"), one.get("status"), one.get("message")
    return ItemResult(
        index if type(index) is int else place,
        None if name is None else str(name),
        http_status if status is None else status,
        word if isinstance(word, str) else "",
        message if isinstance(message, str) else "",
    )


def _all_ok(found: list[Any]) -> bool:
    """Whether no item was refused: the usual, at little cost."""
    try:
        codes = {one["code"] for one in found}
    except (KeyError, TypeError):
        return False
    return all(type(code) is int and 100 <= code < 400 for code in codes)


def _together(found: list[Any], otherwise: int) -> int:
    """The status of a call that is told by that of its items."""
    results = [_result(place, one, otherwise) for place, one in enumerate(found)]
    good = sum(one.ok for one in results)
    return otherwise if not results else _PARTLY if 0 < good < len(results) else results[0].code
