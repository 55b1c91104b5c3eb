"""Observations on their way in: a chunk, and what became of each item of it. Contract: tcup sections 2.4, 13.14."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import orjson

from asyncconn.errors import (
    ApiError,
    AsyncConnError,
    BadRequest,
    ConfigError,
    InvalidRecord,
    LifecycleError,
    PayloadTooLarge,
    Unprocessable,
)
from asyncconn.http.outgoing import json_body
from asyncconn.tcup.documents import document
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.results import item_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.tcup.calling import Service

__all__ = ["MOST_BYTES", "MOST_RECORDS", "Fate", "Outcome", "Sender", "outcome_of"]

#: What a chunk holds: a half and a fifth of what SOS takes.
MOST_RECORDS = 500
MOST_BYTES = 1024 * 1024

#: Why an item was not stored: the platform's result, or the error of its call; None where it was.
Fate = ItemResult | AsyncConnError | None
Outcome = Literal["delivered", "rejected", "failed", "unknown"]

#: Bodies without it hold no null. Two rare letters are found in half the time that the word takes.
_DOUBLE_L = re.compile(rb"ll").search

_REFUSALS = (BadRequest, PayloadTooLarge, Unprocessable, ConfigError, InvalidRecord)


def outcome_of(fate: Fate) -> Outcome:
    """What a report counts an item as."""
    if fate is None:
        return "delivered"
    if isinstance(fate, ItemResult):
        return "rejected"
    return "unknown" if fate.maybe_sent else "rejected" if isinstance(fate, _REFUSALS) else "failed"


class Sender:
    """Sends chunks, each in one call that is not repeated when its outcome is unknown.

    ``pace`` is a limiter of its own that they wait for, beside the account's.
    """

    def __init__(self, service: Service, headers: Mapping[str, str], pace: RateLimiter | None = None) -> None:
        self._service = service
        self._headers = {"Content-Type": "application/json", **headers}
        self._pace = pace
        self._searching = True  # for the one item for which a whole chunk is refused

    async def send(self, observations: Sequence[Mapping[str, Any]]) -> list[Fate]:
        """What became of each; nothing at all where all are stored.

        A chunk that is refused as a whole is sent in halves, as nothing of it was stored: until it is the one item that
        is too large or cannot be read. Once every single item of a chunk was refused so, it is not tried any more: what
        is refused then is refused whatever it holds. Raises ``LifecycleError``.
        """
        try:
            body = _encoded(observations)
            if len(body) > MOST_BYTES and len(observations) > 1:
                return await self._in_halves(observations)
            await self._call(body)
        except ApiError as error:
            count = len(observations)
            if (found := item_results(error, count)) is not None:
                return [None if one.ok else one for one in found]
            if count > 1 and isinstance(error, BadRequest | PayloadTooLarge | Unprocessable) and self._searching:
                return await self._searched(observations)
            return [error] * count
        except LifecycleError:
            raise
        except ConfigError as error:
            if len(observations) > 1:
                return await self._in_halves(observations)
            return [error]
        except AsyncConnError as error:
            return [error] * len(observations)
        return []

    async def _call(self, body: bytes) -> None:
        if self._pace is None:
            await self._service.request("observations.insert", data=body, headers=self._headers)
            return
        async with self._pace as permit:
            permit.sent()
            await self._service.request("observations.insert", data=body, headers=self._headers)

    async def _searched(self, observations: Sequence[Mapping[str, Any]]) -> list[Fate]:
        fates = await self._in_halves(observations)
        if fates and None not in fates:
            self._searching = False  # it is not one item: what is refused is refused whatever it holds
        return fates

    async def _in_halves(self, observations: Sequence[Mapping[str, Any]]) -> list[Fate]:
        middle = len(observations) // 2
        fates: list[Fate] = []
        for half in (observations[:middle], observations[middle:]):
            fates += await self.send(half) or [None] * len(half)
        return fates


def _encoded(observations: Sequence[Mapping[str, Any]]) -> bytes:
    """The document as bytes. Raises ``ConfigError`` for what is not JSON, NaN and infinity included."""
    made = document(observations)
    try:
        body = orjson.dumps(made)
    except TypeError:
        return json_body(made)
    # What a NaN becomes, wherever it stands: json_body() finds it, in four times the time.
    return json_body(made) if _DOUBLE_L(body) and b"null" in body else body
