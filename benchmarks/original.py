"""A stand-in for the original SDK 3.2.0, which cannot be installed from a registry.

Written from its documented algorithm (contract: panoply sections 2 to 4): a thread and an unbounded queue; each record
encoded and percent-encoded in the caller; a batch when the escaped text is longer than 256,000 characters or older than
two seconds; a new connection for each batch; no retry. It is a stand-in: read it beside the original's own figures.
"""

from __future__ import annotations

import json
import queue
import threading
import time
import urllib.parse
import urllib.request
from typing import Any

MAX_CHARS = 256_000
LINGER = 2.0


class OriginalStandIn:
    def __init__(self, queue_url: str, key: str, secret: str) -> None:
        self.url = queue_url
        self.tail = "".join(
            f"&MessageAttribute.{number}.Name={name}&MessageAttribute.{number}.Value.DataType=String"
            f"&MessageAttribute.{number}.Value.StringValue={value}"
            for number, (name, value) in enumerate((("key", key), ("secret", secret), ("sdk", "stand-in-3.2.0")), 1)
        )
        self.waiting: queue.Queue[str] = queue.Queue()
        self.arrived = 0
        threading.Thread(target=self.run, daemon=True).start()

    def write(self, table: str, data: dict[str, Any]) -> None:
        record = dict(data)
        record["__table"] = table
        self.waiting.put(urllib.parse.quote(json.dumps(record)) + "\n")

    def run(self) -> None:
        batch = ""
        count = 0
        last = time.time()
        while True:
            try:
                batch += self.waiting.get(timeout=LINGER) + "\n"
                count += 1
            except queue.Empty:
                pass
            if not batch:
                last = time.time()
            elif len(batch) > MAX_CHARS or time.time() - last > LINGER:
                last = time.time()
                self.send(batch)
                self.arrived += count
                batch, count = "", 0

    def send(self, batch: str) -> None:
        body = f"Action=SendMessage&MessageBody={batch}{self.tail}".encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers)):
            pass
