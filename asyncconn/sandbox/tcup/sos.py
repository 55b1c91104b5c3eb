"""Sensor observation: features, sensors, observations, and the 200 that is no success.

Contract: tcup sections 1.6, 2, 13.1, 13.4, 13.7 and 13.8.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.asking import read_json
from asyncconn.sandbox.tcup.broker import DIRECT, REGISTER, Broker
from asyncconn.sandbox.tcup.csv_files import read_lines, written
from asyncconn.sandbox.tcup.multipart import parts
from asyncconn.sandbox.tcup.observations import Observations
from asyncconn.sandbox.tcup.queries import Cursors, Query, document, page_size
from asyncconn.sandbox.tcup.registering import change_feature, change_sensor, new_feature, new_sensor, read_observation
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.streams import EventStream, Source, stream
from asyncconn.sandbox.tcup.voice import Refused, envelope, json_answer, result, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.observations import Record
    from asyncconn.sandbox.tcup.options import Options
    from asyncconn.sandbox.tcup.registering import Item
    from asyncconn.sandbox.tcup.streams.connections import Streams
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["Sos"]

_VERSION = "2.0"
_MOST_RECORDS = 1000
_LARGEST_INSERT = 5 * 1024 * 1024
_LARGEST_FILE = 100 * 1024 * 1024
_LINES_A_TURN = 500  # a large file must not keep others waiting
_FEED = "feed"
_MOST_FED = 1000
_ROUTINGS = ("", "db", "mq", "both")


class Sos(Service):
    """One tenant's sensors and observations, to look at and to change.

    ``effective`` counts what the writes really came to: the statuses inside their answers.
    """

    def __init__(self, tenant: Tenant, options: Options, broker: Broker, streams: Streams) -> None:
        self.features: dict[str, Item] = {}
        self.sensors: dict[str, Item] = {}
        self.observations = Observations()
        self.effective: Counter[int] = Counter()
        self._tenant = tenant
        self._options = options
        self._broker = broker
        self._streams = streams
        self._fed = Broker(_MOST_FED)  # apart from the tenant's: nobody can publish there
        self._fed.create(_FEED)
        self._cursors = Cursors(tenant.routing_key)

    def __repr__(self) -> str:
        return f"<Sos {len(self.sensors)} sensors, {len(self.features)} features, {len(self.observations)} records>"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each output that is stored, by time, sensor, feature and name."""
        return self.observations.rows()

    def routes(self) -> list[Route]:
        """The calls of the contract's table."""
        return [
            ("GET", "/v2/api-docs", self._describe),
            ("GET", "/capabilities", self._capabilities),
            ("POST", "/observations", self._insert),
            ("GET", "/observations", self._query),
            ("GET", "/observations/latest", self._latest),
            ("GET", "/observedproperties", self._properties),
            ("POST", "/features", self._create_features),
            ("GET", "/features", lambda _: json_answer({"features": list(self.features.values())})),
            ("GET", "/features/{name}", lambda ask: json_answer(_known(self.features, ask, "feature"))),
            ("PUT", "/features/{name}", self._change_feature),
            ("DELETE", "/features/{name}", self._delete_feature),
            ("POST", "/sensors", self._create_sensors),
            ("GET", "/sensors", lambda _: json_answer({"sensors": list(self.sensors.values())})),
            ("GET", "/sensors/{name}", lambda ask: json_answer(_known(self.sensors, ask, "sensor"))),
            ("PUT", "/sensors/{name}", self._change_sensor),
            ("DELETE", "/sensors/{name}", self._delete_sensor),
            ("DELETE", "/sensors/{name}/observations", self._delete_observations),
            ("POST", "/files", self._upload),
            ("GET", "/files/observations", self._download),
            ("GET", "/feed", self._feed),
        ]

    @classmethod
    def takes_pieces(cls, method: str, below: str) -> bool:
        """Files may be larger than what is read at once."""
        return method == "POST" and below == "/files"

    async def answer(self, call: Call) -> Answer:
        """A POST or a PUT is answered 200, whatever became of it."""
        answer = await super().answer(call)
        if call.method != "GET":
            self.effective[answer.status] += 1
        return replace(answer, status=200) if call.method in ("POST", "PUT") else answer

    def refused(self, refused: Refused) -> Answer:
        """The envelope, here still under its real status."""
        return self._spoken(refused.status, refused.message)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _describe(self, _: Ask) -> Answer:
        return json_answer({"swagger": "2.0", "info": {"title": "Sensor Observation Service", "version": _VERSION}})

    def _capabilities(self, _: Ask) -> Answer:
        outputs = {name: [output["name"] for output in sensor["output"]] for name, sensor in self.sensors.items()}
        count = {"sensors": len(self.sensors), "features": len(self.features)}
        return json_answer({"count": count, "sensorOutput": outputs, "features": list(self.features)})

    def _properties(self, _: Ask) -> Answer:
        found: dict[tuple[str, str, str | None], list[str]] = {}
        for name, sensor in self.sensors.items():
            for output in sensor["output"]:
                found.setdefault((output["name"], output["type"], output.get("unit")), []).append(name)
        shown = [
            {"name": name, "type": kind, "unit": unit, "sensors": sensors}
            for (name, kind, unit), sensors in found.items()
        ]
        return json_answer({"observedProperties": shown})

    def _query(self, ask: Ask) -> Answer:
        query, limit, after = Query(ask), page_size(ask), self._cursors.read(ask)
        page: list[tuple[Record, list[str]]] = []
        more = False
        for found in query.find(self.observations, after):
            if more := len(page) == limit:
                break
            page.append(found)
        return json_answer(document(page, self._cursors.issue(page[-1][0].key, ask) if more else None))

    def _latest(self, ask: Ask) -> Answer:
        query = Query(ask)
        found = sorted(query.find(self.observations), key=lambda one: one[0].key)
        last = {record.key[1:]: (record, names) for record, names in found}
        return json_answer(document(sorted(last.values(), key=lambda one: one[0].key, reverse=query.descending)))

    # -- features and sensors ------------------------------------------------------------------------------------------

    def _create_features(self, ask: Ask) -> Answer:
        def create(given: object) -> str:
            return _keep(self.features, new_feature(given))

        return self._said(_each(_items(ask, "features"), create), "feature", "registered")

    def _create_sensors(self, ask: Ask) -> Answer:
        made: list[Item] = []

        def create(given: object) -> str:
            sensor = new_sensor(given, self.sensors)
            name = _keep(self.sensors, sensor)
            made.append(sensor)
            return name

        outcome = _each(_items(ask, "sensors"), create)
        if made:
            self._broker.to_direct(REGISTER, self._tenant.routing_key, {"version": "1.0.1", "sensors": made})
        return self._said(outcome, "sensor", "registered")

    def _change_feature(self, ask: Ask) -> Answer:
        name = ask.args["name"]
        self.features[name] = change_feature(_known(self.features, ask, "feature"), ask.document())
        return self._done(name, "feature updated")

    def _change_sensor(self, ask: Ask) -> Answer:
        name, observed = ask.args["name"], bool(self.observations.of_sensor[ask.args["name"]])
        self.sensors[name] = change_sensor(_known(self.sensors, ask, "sensor"), ask.document(), observed=observed)
        return self._done(name, "sensor updated")

    def _delete_feature(self, ask: Ask) -> Answer:
        name = _known(self.features, ask, "feature")["name"]
        if self.observations.of_feature[name]:
            raise Refused(409, "the feature has observations")
        del self.features[name]
        return self._done(name, "feature deleted")

    def _delete_sensor(self, ask: Ask) -> Answer:
        name = _known(self.sensors, ask, "sensor")["name"]
        if self.observations.of_sensor[name]:
            raise Refused(409, "the sensor has observations")
        del self.sensors[name]
        return self._done(name, "sensor deleted")

    def _delete_observations(self, ask: Ask) -> Answer:
        name = _known(self.sensors, ask, "sensor")["name"]
        return self._done(name, f"{self.observations.forget(name)} records deleted")

    # -- observations --------------------------------------------------------------------------------------------------

    def _insert(self, ask: Ask) -> Answer:
        routing = ask.header("x-routing").lower()
        if routing not in _ROUTINGS:
            raise Refused(400, "x-routing must be db, mq or both")
        if len(ask.call.body) > _LARGEST_INSERT:
            raise Refused(413, f"the body is larger than {_LARGEST_INSERT:,} bytes")
        given = _items(ask, "observations")
        if _number_of_records(given) > _MOST_RECORDS:
            raise Refused(413, f"there are more than {_MOST_RECORDS:,} records")
        taken: list[object] = []

        def insert(one: object) -> str:
            sensor = self._take(one, store=routing != "mq")
            taken.append(one)
            return sensor

        outcome = _each(given, insert, "sensor")
        if taken and routing != "mq":
            self._fed.to_topic(_FEED, _FEED, {"version": "1.0.1", "observations": taken})
        if taken and routing != "db":
            self._broker.to_direct(DIRECT, self._tenant.routing_key, {"version": "1.0.1", "observations": taken})
        return self._said(outcome, "observation", "stored" if routing != "mq" else "routed")

    def _feed(self, ask: Ask) -> Answer:
        """What is inserted, document by document, as it is stored."""
        events = EventStream(self._streams, _FEED, self._tenant.user)
        return stream(ask, events, self._fed, Source("topic", _FEED))

    def _take(self, given: object, *, store: bool = True) -> str:
        """One observation, whole or not at all; its sensor."""
        records = read_observation(given, self.sensors, auto_register=self._options.auto_register)
        name, feature = records[0].key.sensor, records[0].key.feature
        if self._options.auto_register:
            self._register(name, feature, records)
        if store:
            for record in records:
                self.observations.put(record)
        return name

    def _register(self, name: str, feature: str | None, records: Sequence[Record]) -> None:
        if feature is not None and feature not in self.features:
            self.features[feature] = new_feature({"name": feature})
        if name not in self.sensors:
            self.sensors[name] = new_sensor({"name": name, "feature": feature}, self.sensors)
        known = {output["name"] for output in self.sensors[name]["output"]}
        for record in records:
            for each, output in record.outputs.items():
                if each not in known:
                    known.add(each)
                    self.sensors[name]["output"].append({"name": each, "type": output.type})

    # -- files ---------------------------------------------------------------------------------------------------------

    async def _upload(self, ask: Ask) -> Answer:
        data, options = None, "{}"
        async for part in parts(ask.call):
            if part.name == "file":
                data = await part.read(_LARGEST_FILE)
            elif part.name == "options":
                options = await part.text()
        if data is None:
            raise Refused(400, "part file is missing")
        wanted = read_json(options.encode())
        on_unknown = wanted.get("on_unknown", "error") if isinstance(wanted, dict) else None
        if on_unknown not in ("error", "ignore"):
            raise Refused(400, "on_unknown must be error or ignore")
        taken = 0
        rejected: list[dict[str, Any]] = []
        for line, said in read_lines(data, ignore_unknown=on_unknown == "ignore"):
            if line % _LINES_A_TURN == 0:
                await asyncio.sleep(0)
            try:
                if isinstance(said, Refused):
                    raise said
                self._take(said)
                taken += 1
            except Refused as refused:
                rejected.append({"line": line, "code": refused.status, "message": refused.message})
        code = 201 if not rejected else 207 if taken else rejected[0]["code"]
        return self._spoken(code, f"{taken} of {taken + len(rejected)} lines stored", rejected)

    def _download(self, ask: Ask) -> Answer:
        found = Query(ask).find(self.observations)
        name = {"Content-Disposition": 'attachment; filename="observations.csv"'}
        return Answer(200, content_type="text/csv; charset=utf-8", headers=name, pieces=written(found))

    # -- envelopes -----------------------------------------------------------------------------------------------------

    def _said(self, outcome: Sequence[_Outcome], noun: str, done: str) -> Answer:
        failed = [one for one in outcome if one.code >= 400]
        number = len(outcome) - len(failed)
        results = [result(place, one.name, one.code) for place, one in enumerate(outcome)]
        if not failed:
            return self._spoken(201, f"{number} {noun}{'s' * (number != 1)} {done}", results)
        if not number:
            return self._spoken(failed[0].code, failed[0].message, results)
        return self._spoken(207, f"{number} of {len(outcome)} {done}", results)

    def _done(self, name: str, message: str) -> Answer:
        return self._spoken(200, message, [result(0, name, 200)])

    def _spoken(self, code: int, message: str, results: Sequence[Mapping[str, Any]] = ()) -> Answer:
        value = envelope(code, message, results)
        options = self._options
        return json_answer(spelled(value, options.inner, digits=options.inner_digits), code)


class _Outcome(NamedTuple):
    """What became of one item of a write."""

    name: str | None
    code: int
    message: str


def _each(given: Sequence[object], act: Callable[[object], str], name: str = "name") -> list[_Outcome]:
    outcome = []
    for one in given:
        try:
            outcome.append(_Outcome(act(one), 201, ""))
        except Refused as refused:
            said = one.get(name) if isinstance(one, dict) else None
            outcome.append(_Outcome(said if isinstance(said, str) else None, refused.status, refused.message))
    return outcome


def _items(ask: Ask, plural: str) -> list[object]:
    """The list of a write. Raises 400."""
    items = ask.document().get(plural)
    if not isinstance(items, list) or not items:
        raise Refused(400, f"{plural} must be a list that is not empty")
    return items


def _number_of_records(given: Sequence[object]) -> int:
    lists = (one["record"] for one in given if isinstance(one, dict) and isinstance(one.get("record"), list))
    return sum(map(len, lists))


def _keep(items: dict[str, Item], item: Item) -> str:
    """Its name. Raises 409 for a twin."""
    name: str = item["name"]
    if name in items:
        raise Refused(409, "already exists")
    items[name] = item
    return name


def _known(items: Mapping[str, Item], ask: Ask, what: str) -> Item:
    if (item := items.get(ask.args["name"])) is None:
        raise Refused(404, f"{what} is not registered")
    return item
