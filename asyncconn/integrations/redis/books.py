"""What a store holds, for people: the books of every limit that is shared there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["SharedRate", "forget", "read"]


@dataclass(frozen=True, slots=True)
class SharedRate:
    """One limit at one moment. ``key`` stands for account and credential, and tells neither.

    ``used`` calls of ``limit`` in ``period`` seconds (0.0: a quota's), of which ``leased`` are with holders;
    ``holders`` processes share it, and ``waiting`` of them wait; nothing is granted for ``held_for`` seconds.
    """

    platform: str
    part: str
    kind: str
    key: str
    limit: int
    used: int
    period: float
    leased: int = 0
    holders: int = 0
    waiting: int = 0
    held_for: float = 0.0


async def read(client: Redis, prefix: str) -> list[SharedRate]:
    """All of them, by platform, key and part."""
    seconds, micros = await client.time()
    now = seconds * 1000 + micros / 1000
    found = [await _one(client, name, now) async for name in client.scan_iter(f"{prefix}:*:books", count=500)]
    return sorted((one for one in found if one is not None), key=lambda one: (one.platform, one.key, one.part))


async def _one(client: Redis, name: bytes, now: float) -> SharedRate | None:
    stem = name.decode().removesuffix(":books")
    async with client.pipeline(transaction=True) as together:
        together.hgetall(name)
        together.zcard(f"{stem}:waiting")
        together.zrangebyscore(f"{stem}:settled", "-inf", now)
        raw, waiting, over = await together.execute()
    books: dict[str, str] = {key.decode(): value.decode() for key, value in raw.items()}
    if not books:
        return None
    period = float(books["period"]) / 1000
    platform, _, part = books["label"].partition("/")
    seen = await client.zcount(f"{stem}:holders", now - float(books["period"]), "+inf")
    return SharedRate(
        platform,
        part,
        books["kind"],
        stem.partition("{")[2].partition("}")[0][:12],
        int(books["limit"]),
        _used(books) - sum(int(one.split(b":")[1]) for one in over),
        period,
        sum(int(value) for key, value in books.items() if key.startswith("l:")),
        seen,
        waiting,
        max(0.0, (float(books.get("hold", 0.0)) - now) / 1000),
    )


def _used(books: dict[str, Any]) -> int:
    if books["kind"] == "bucket":
        return int(books["limit"]) - int(float(books["tokens"]))
    if books["kind"] == "quota":
        return int(max((name, used) for name, used in books.items() if name.startswith("t:"))[1])
    return int(books["used"])


async def forget(client: Redis, prefix: str, platform: str | None) -> int:
    """Delete the books of ``platform``, or of all: how many limits there were."""
    count = 0
    async for name in client.scan_iter(f"{prefix}:*:books", count=500):
        label: Any = await client.hget(name, "label")
        if platform in (None, (label or b"").decode().partition("/")[0]):
            stem = name.decode().removesuffix(":books")
            others = [one async for one in client.scan_iter(f"{_literal(stem)}:*", count=500)]
            await client.delete(name, *others)
            count += 1
    return count


def _literal(text: str) -> str:
    """A text in a pattern of Redis that stands for itself."""
    return "".join(f"\\{one}" if one in "*?[]^\\" else one for one in text)
