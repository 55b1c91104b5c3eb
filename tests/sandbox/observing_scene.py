"""The embedded TCUP and a plain client for its gateway, observations and routing; no real connector is in it."""

from __future__ import annotations

import base64
import hmac
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.sandbox import Sandbox, TcupWorld

from . import scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

SAMPLES: dict[str, Any] = {
    sample["id"]: sample
    for sample in json.loads((Path(__file__).parents[1] / "data" / "tcup.json").read_text())["samples"]
}
SOS = "/api/sos/v2.0"
MR = "/MessageRouting/v2.0"


def body(sample: str) -> Any:
    """A fresh copy of a sample's body."""
    return json.loads(json.dumps(SAMPLES[sample]["body"]))


class Reply(scene.Reply):
    @property
    def code(self) -> int:
        """The status inside, of an answer that came with a 200."""
        assert self.status == 200, self.body
        return int(self.json["code"])


class Client:
    """Sends one request with the first tenant's key, unless ``headers`` say otherwise."""

    def __init__(self, world: TcupWorld, http: aiohttp.ClientSession) -> None:
        self.world = world
        self.http = http

    async def __call__(
        self,
        method: str,
        path: str,
        given: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        params: Any = None,
        data: Any = None,
    ) -> Reply:
        kind = {"Content-Type": "application/json"} if isinstance(data, bytes) else {}
        sent = {"x-api-key": self.world.api_key, **kind, **(headers or {})}
        payload: dict[str, Any] = {"json": given} if given is not None else {"data": data}
        async with self.http.request(
            method, self.world.url + path, headers=sent, params=params, **payload, allow_redirects=False
        ) as response:
            return await Reply.of(response)

    async def sensor(self, name: str = "ts1", *outputs: str, feature: str | None = None) -> None:
        """Register one, with outputs of numbers."""
        output = [{"name": each, "type": "quantity"} for each in outputs or ("obs1", "obs2")]
        item = {"name": name, "feature": feature, "output": output}
        assert (await self("POST", f"{SOS}/sensors", {"sensors": [item]})).code == 201

    async def insert(self, *observations: dict[str, Any], **headers: str) -> Reply:
        document = {"version": "1.0.1", "observations": list(observations)}
        return await self("POST", f"{SOS}/observations", document, headers=headers)

    async def query(self, **params: Any) -> Reply:
        pairs = [(name, each) for name, value in params.items() for each in _list(value)]
        return await self("GET", f"{SOS}/observations", params=pairs)

    async def exchange(self, name: str = "ex1") -> None:
        given = {"exchangeName": name, "type": "topic"}
        assert (await self("POST", f"{MR}/topicExchanges", given)).status == 200

    async def rule(self, name: str = "r", *params: dict[str, Any], started: bool = True, **changed: Any) -> int:
        """Make a rule into ``ex1`` ``test``; its number."""
        given = {**rule(name, *params), **changed}
        number: int = (await self("POST", f"{MR}/routingRules", given)).json["RuleID"]
        if started:
            assert (await self("POST", f"{MR}/routingChannel/{number}/start")).status == 200
        return number


def rule(name: str = "r", *params: dict[str, Any]) -> dict[str, Any]:
    return {
        "RuleName": name,
        "RuleDescription": "moves what fits",
        "parallelismFactor": "1",
        "input": {"type": "Direct", "DirectExchange": "Direct.Exchange", "RoutingKey": "", "MQName": ""},
        "params": list(params),
        "output": {"TopicExchange": "ex1", "Topic": "test"},
    }


def observation(
    sensor: str = "ts1", at: str = "03-JUL-2015 13:10:00 IST", feature: str | None = "tf1", **values: Any
) -> dict[str, Any]:
    """One record; without values, ``obs1`` is 1."""
    output = [{"name": name, "value": value} for name, value in (values or {"obs1": "1"}).items()]
    return {"sensor": sensor, "feature": feature, "record": [{"starttime": at, "output": output}]}


@asynccontextmanager
async def tcup(**options: Any) -> AsyncIterator[Client]:
    sandbox_options = {name: options.pop(name) for name in ("faults", "clock") if name in options}
    world = TcupWorld(**options)
    timeout = aiohttp.ClientTimeout(10)
    async with Sandbox(world, seed=1, **sandbox_options), aiohttp.ClientSession(timeout=timeout) as http:
        yield Client(world, http)


def token(key: bytes, claims: dict[str, Any], algorithm: str = "HS256") -> str:
    parts = [{"alg": algorithm, "typ": "JWT"}, claims]
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(algorithm, "sha256")
    return f"{signed}.{_encoded(hmac.digest(key, signed.encode(), digest))}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _list(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]
