"""The platform that examples/acme.py is for, on a loopback socket: its rules are kept, faults are written down."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from loopback import Loopback, Reply, Seen, saying

if TYPE_CHECKING:
    from types import TracebackType

TOKEN = "made-up-token"
POINTS = 20_000
_PAGE = 100
_LARGEST = 256 * 1024


@dataclass
class Acme:
    """20 calls in any second, pages of 100 series, an export of 1,000 rows, at most 500 points or 256 KiB a call."""

    form: str = "jsonl"  # or "csv", or "csv.gz"
    absolute: bool = False  # whether a job names its file with the whole address
    slow: float = 0.0  # seconds before each answer
    series: int = 950
    busy: set[int] = field(default_factory=set)
    bad: set[int] = field(default_factory=set)
    faults: dict[str, deque[Reply | str]] = field(default_factory=dict)  # by path: answers, or "cut" after the work
    stored: Counter[int] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    def __post_init__(self) -> None:
        self._recent: deque[float] = deque()
        self._looks = 0
        self._server = Loopback(otherwise=self._answer)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def export(self) -> list[dict[str, str]]:
        return [{"id": str(number), "name": f"name, {number}"} for number in range(1000)]

    def _answer(self, request: Seen) -> Reply:
        self.calls[request.path] += 1
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return saying({"error": {"message": "who are you?"}}, 401)
        if self._too_soon():
            self.refused += 1
            return saying({"error": {"message": "slow down"}}, 429)
        fault = queue.popleft() if (queue := self.faults.get(request.path)) else None
        if isinstance(fault, Reply):
            return fault
        reply = self._done(request)
        reply.after = self.slow
        return Reply(raw=b"", close=True) if fault == "cut" else reply

    def _too_soon(self) -> bool:
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - 1.0:
            self._recent.popleft()
        if len(self._recent) >= 20:
            return True
        self._recent.append(now)
        return False

    def _done(self, request: Seen) -> Reply:
        match request.method, request.path:
            case "GET", "/v1/plan":
                return saying({"plan": "small"})
            case "GET", "/v1/series":
                start = int(parse_qs(request.query).get("cursor", ["0"])[0])
                end = min(start + _PAGE, self.series)
                found = [{"id": number} for number in range(start, end)]
                return saying({"data": found, "next_cursor": str(end) if end < self.series else None})
            case "POST", "/v1/exports":
                return saying({"id": 7, "status": "PENDING"})
            case "GET", "/v1/exports/7":
                self._looks += 1
                if self._looks < 3:
                    return saying({"id": 7, "status": "PENDING" if self._looks == 1 else "RUNNING"})
                file = f"/files/7.{self.form}"
                return saying({"id": 7, "status": "DONE", "file": f"{self.url}{file}" if self.absolute else file})
            case "GET", path if path.startswith("/files/7."):
                return self._file()
            case "POST", "/v1/points":
                return self._points(request.body)
        return saying({"error": {"message": "no such thing"}}, 404)

    def _file(self) -> Reply:
        if self.form == "jsonl":
            text = "".join(json.dumps(row) + "\n" for row in self.export)
            return Reply(body=text.encode(), headers={"Content-Type": "application/x-ndjson"})
        written = io.StringIO()
        writer = csv.DictWriter(written, ["id", "name"])
        writer.writeheader()
        writer.writerows(self.export)
        data = written.getvalue().encode()
        if self.form == "csv.gz":
            return Reply(body=gzip.compress(data), headers={"Content-Type": "application/gzip"})
        return Reply(body=data, headers={"Content-Type": "text/csv"})

    def _points(self, body: bytes) -> Reply:
        points: list[dict[str, Any]] = json.loads(body)["points"]
        if len(points) > 500 or len(body) > _LARGEST:
            return saying({"error": {"code": "too_large", "message": "500 points and 256 KiB at most"}})
        results: list[dict[str, str]] = []
        for point in points:
            number = point["id"]
            if number in self.busy:
                self.busy.discard(number)
                results.append({"status": "busy"})
            elif number in self.bad:
                results.append({"status": "rejected", "error": "no such series"})
            else:
                self.stored[number] += 1
                results.append({"status": "stored"})
        return saying({"results": results})
