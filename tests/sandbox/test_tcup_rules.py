"""What a routing rule lets pass, and what it is refused for."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.sandbox.tcup.broker import topic_pattern
from asyncconn.sandbox.tcup.rules import Conditions
from asyncconn.sandbox.tcup.voice import Refused

from .observing_scene import body, observation


def passes(params: list[Any], given: Any = None) -> bool:
    return Conditions(params).judge(observation() if given is None else given) is not None


def on(name: str = "obs1", value: Any = "10", operator: str = ">", kind: str = "quantity") -> dict[str, Any]:
    condition = {"name": name, "type": kind, "value": value, "operator": operator}
    return {"name": "ObservedProperties", "value": [condition]}


@pytest.mark.parametrize(
    "params",
    [
        [],
        [{"name": "feature", "value": ""}],
        [{"name": "time", "value": {"starttime": "", "endtime": ""}}],
        [{"name": "expression", "value": {"if": "", "then": "", "else": ""}}],
        [{"name": "position", "type": "rectangle", "geoFencing": "NO", "value": {"points": [{"x": "", "y": ""}]}}],
        [{"name": "ObservedProperties", "value": []}],
        [{"name": "quality", "value": [{"name": "", "value": "", "type": "text", "operator": ""}]}],
        [on(value="")],
    ],
)
def test_empty_texts_are_no_conditions(params: list[Any]) -> None:
    assert passes(params)


@pytest.mark.parametrize("name", ["mr.rule.create.request", "mr.rules.list.response", "mr.versions.response"])
def test_captured_conditions_are_understood(name: str) -> None:
    found = body(name)
    for rule in found if isinstance(found, list) else [found]:
        Conditions(rule.get("routingRules", rule)["params"])


@pytest.mark.parametrize(
    ("value", "sensor", "fits"),
    [
        ("ts1", "ts1", True),
        ("ts1", "ts12", False),
        ("ts*", "ts12", True),
        ("*s1", "ts1", True),
        ("t.1", "ts1", False),
        ("^[a-z0-9]*$", "ts1", True),
        ("^[a-z0-9]*$", "TS1", False),
        ("^ts", "ts12", True),
        ("TS1", "ts1", False),
    ],
)
def test_names_are_exact_or_patterns_or_regular_expressions(value: str, sensor: str, fits: bool) -> None:
    assert passes([{"name": "sensorID", "value": value}], observation(sensor)) is fits
    assert passes([{"name": "feature", "value": value}], observation(feature=sensor)) is fits


def test_an_observation_without_a_feature_fits_no_name() -> None:
    assert not passes([{"name": "feature", "value": "*"}], observation(feature=None))


@pytest.mark.parametrize(
    ("window", "fits"),
    [
        (("03-JUL-2015 13:00:00 IST", ""), True),
        (("03-JUL-2015 13:10:00 IST", ""), True),
        (("03-JUL-2015 07:41:00", ""), False),
        (("", "03-JUL-2015 13:10:00 IST"), False),
        (("", "03-JUL-2015 13:10:00.001 IST"), True),
    ],
)
def test_the_window_has_its_start_and_not_its_end(window: tuple[str, str], fits: bool) -> None:
    param = {"name": "time", "value": dict(zip(("starttime", "endtime"), window, strict=True))}
    assert passes([param], observation(at="03-JUL-2015 13:10:00 IST")) is fits


@pytest.mark.parametrize(
    ("operator", "fitting"),
    [("", {10}), (">", {11}), ("<", {9}), (">=", {10, 11}), ("<=", {9, 10}), ("!=", {9, 11})],
)
@pytest.mark.parametrize("kind", ["quantity", "COUNT"])
def test_numbers_are_compared(operator: str, fitting: set[int], kind: str) -> None:
    for number in (9, 10, 11):
        fits = passes([on(operator=operator, kind=kind)], observation(obs1=str(number)))
        assert fits is (number in fitting)
        assert passes([on(operator=operator, kind=kind)], observation(obs1=number)) is fits


@pytest.mark.parametrize(
    ("value", "fitting"), [("(10,12)", {10, 11, 12}), ("( 10 , 12 )", {10, 11, 12}), ("!(10,12)", {9, 13})]
)
def test_a_band_lets_pass_what_is_inside_or_outside(value: str, fitting: set[int]) -> None:
    found = {number for number in range(9, 14) if passes([on(value=value, operator="")], observation(obs1=number))}
    assert found == fitting


def test_text_is_compared_as_text() -> None:
    assert passes([on(value="hot", operator="", kind="text")], observation(obs1="hot"))
    assert not passes([on(value="hot", operator="!=", kind="text")], observation(obs1="hot"))
    assert not passes([on(value="1.0", operator="", kind="text")], observation(obs1="1"))
    assert passes([on(value="1.0", operator="")], observation(obs1="1"))


def test_text_never_fits_a_number() -> None:
    assert not passes([on(operator="!=")], observation(obs1="hot"))
    assert not passes([on(name="obs9")], observation(obs1=99))


def test_every_condition_must_hold() -> None:
    both = [on("obs1"), on("obs2")]
    assert passes(both, observation(obs1=11, obs2=11))
    assert not passes(both, observation(obs1=11, obs2=9))


def test_of_several_records_those_pass_that_fit() -> None:
    cold, hot = (observation(obs1=value)["record"][0] for value in (9, 11))
    judged = Conditions([on()]).judge({"sensor": "ts1", "record": [cold, hot, cold]})
    assert judged == {"sensor": "ts1", "record": [hot]}


@pytest.mark.parametrize("name", ["meta-data", "parameter", "quality"])
def test_a_records_other_lists_are_looked_at(name: str) -> None:
    given = observation()
    given["record"][0][name] = [{"name": "grade", "value": "3", "type": "count"}]
    param = {"name": name, "value": [{"name": "grade", "value": "2", "type": "count", "operator": ">"}]}
    assert passes([param], given)
    assert not passes([param])


@pytest.mark.parametrize(
    ("point", "inside"), [((1, 1), True), ((0, 2), True), ((3, 1), False), (("1", "1.5"), True), (None, False)]
)
@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_places_lie_in_an_area(kind: str, point: tuple[Any, Any] | None, inside: bool) -> None:
    corners = [(0, 0), (2, 2)] if kind == "rectangle" else [(-0.1, -0.1), (2.1, -0.1), (2.1, 2.1), (-0.1, 2.1)]
    points = [{"x": str(x), "y": str(y)} for x, y in corners]
    given = observation()
    if point is not None:
        given["record"][0]["position"] = {"x": point[0], "y": point[1]}
    param = {"name": "position", "type": kind, "geoFencing": "NO", "value": {"points": points}}
    assert passes([param], given) is inside


def test_a_fence_tells_of_who_enters_and_leaves() -> None:
    points = [{"x": "0", "y": "0"}, {"x": "2", "y": "2"}]
    fence = Conditions([{"name": "position", "type": "rectangle", "geoFencing": "YES", "value": {"points": points}}])

    def told(sensor: str, x: float) -> bool:
        given = observation(sensor)
        given["record"][0]["position"] = {"x": x, "y": 1}
        return fence.judge(given) is not None

    assert [told("a", x) for x in (5, 1, 1, 5, 5)] == [False, True, False, True, False]
    assert told("b", 1)


@pytest.mark.parametrize(
    ("condition", "temp", "label"),
    [
        ("temp>80", 81, "high "),
        ("temp>80", 80, "low"),
        ("temp > 80 && wind < 3", 81, "high "),
        ("temp>80||wind<3", 10, "high "),
        ('temp == "81"', 81, "high "),
        ("temp != hot", "hot", "low"),
        ("other>1", 81, "low"),
    ],
)
def test_an_expression_labels_what_passes(condition: str, temp: Any, label: str) -> None:
    value = {"if": condition, "then": 'return "high ";', "else": "return 'low'"}
    judged = Conditions([{"name": "expression", "value": value}]).judge(observation(temp=temp, wind=2))
    assert judged is not None
    assert judged["expression"] == label


def test_an_expression_with_nothing_to_say_adds_nothing() -> None:
    judged = Conditions([{"name": "expression", "value": {"if": "temp>80", "then": "return 1"}}]).judge(observation())
    assert judged == observation()


@pytest.mark.parametrize(
    "params",
    [
        {},
        ["x"],
        [{"name": "colour", "value": "x"}],
        [{"name": "feature", "value": 5}],
        [{"name": "sensorID", "value": "^["}],
        [{"name": "time", "value": "now"}],
        [{"name": "time", "value": {"starttime": "soon"}}],
        [{"name": "expression", "value": {"if": "run()"}}],
        [{"name": "expression", "value": {"if": "a>1", "then": "exit()"}}],
        [{"name": "expression", "value": {"if": 5}}],
        [{"name": "ObservedProperties", "value": {}}],
        [on(operator="~")],
        [on(value="hot")],
        [on(value="(1,x)", operator="")],
        [on(value="(1,2)", operator=">")],
        [on(kind="colour")],
        [on(value=[1])],
        [{"name": "position", "type": "circles", "value": {"points": [{"x": "1", "y": "1"}]}}],
        [{"name": "position", "type": "rectangle", "value": {"points": [{"x": "1", "y": "1"}]}}],
        [{"name": "position", "type": "polygon", "value": {"points": [{"x": "1", "y": "1"}] * 2}}],
        [{"name": "position", "geoFencing": "MAYBE", "value": {"points": []}}],
        [{"name": "position", "value": {"points": [{"x": "1", "y": "north"}] * 2}}],
    ],
)
def test_what_is_no_condition_is_refused_as_an_invalid_payload(params: Any) -> None:
    with pytest.raises(Refused) as refused:
        Conditions(params)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "given", [None, "x", {}, {"record": 5}, {"record": ["x", {}]}, {"record": [{"output": ["x"]}]}]
)
def test_what_is_no_observation_never_passes_a_condition(given: Any) -> None:
    assert Conditions([on()]).judge(given) is None


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("test", "test", True),
        ("test", "tests", False),
        ("test.*", "test.hot", True),
        ("test.*", "test", False),
        ("test.*", "test.a.b", False),
        ("*.hot", "test.hot", True),
        ("test.#", "test", True),
        ("test.#", "test.a.b", True),
        ("#", "anything.at.all", True),
        ("#.hot", "hot", True),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x", False),
        ("a.b", "axb", False),
    ],
)
def test_topics_fit_word_by_word(pattern: str, topic: str, fits: bool) -> None:
    assert (topic_pattern(pattern).fullmatch(f".{topic}") is not None) is fits
