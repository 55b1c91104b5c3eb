"""What a session tells about itself: slicing date hierarchies, and the path of its API."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.discovery import check_slicing_hierarchy, pivot_path
from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.errors import ConfigError


def hierarchy(name: str, *levels: str, slicing: bool = True, kind: str = "REGULAR") -> dict[str, Any]:
    named = [{"name": level, "type": "ALL" if level == "ALL" else kind} for level in levels]
    return {"name": name, "slicing": slicing, "levels": named}


def cube(name: str = "C", /, **dimensions: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [{"name": dimension, "hierarchies": found} for dimension, found in dimensions.items()]
    return {"name": name, "dimensions": listed}


def catalogs(**cubes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"catalogs": [{"name": name, "cubes": found} for name, found in cubes.items()]}


def verdict(found: dict[str, Any], as_of_date: str | None = None) -> tuple[str, tuple[str, ...]]:
    (check,) = check_slicing_hierarchy(catalogs(atoti=[found]), as_of_date)
    return check.status, check.candidates


# -- the four verdicts -------------------------------------------------------------------------------------------------


def test_the_cube_of_the_guide_is_ok_although_epoch_is_slicing_too() -> None:
    (check,) = check_slicing_hierarchy(CAPTURES["session_discovery"]["body"])

    assert (check.catalog, check.cube, check.status) == ("atoti", "Cars_Cube", "ok")
    assert check.candidates == ("Date@Date@Cars",)
    assert check.message == "cube 'Cars_Cube': Date@Date@Cars is slicing"


def test_epoch_alone_is_no_date() -> None:
    (check,) = check_slicing_hierarchy(CAPTURES["session_discovery_missing_slicing"]["body"])

    assert (check.status, check.candidates) == ("missing", ())
    assert "no slicing date hierarchy" in check.message


@pytest.mark.parametrize(
    ("found", "status", "candidates"),
    [
        (cube(D=[hierarchy("H", "Year", kind="TIME")]), "ok", ("Year@H@D",)),
        (cube(D=[hierarchy("H", "as_of")]), "ok", ("as_of@H@D",)),
        (cube(D=[hierarchy("H", "COB")]), "ok", ("COB@H@D",)),
        (cube(D=[hierarchy("H", "asof")]), "ok", ("asof@H@D",)),
        (cube(D=[hierarchy("H", "Timestamp")]), "ok", ("Timestamp@H@D",)),
        (cube(D=[hierarchy("Dates", "Year", "Month", "Day")]), "ok", ("Day@Dates@D",)),
        (cube(D=[hierarchy("Dates", "Year", "Quarter")]), "ok", ("Quarter@Dates@D",)),
        (cube(D=[hierarchy("Dates", "ALL", "Year")]), "ok", ("Year@Dates@D",)),
        (cube(D=[hierarchy("H", "Day")], E=[hierarchy("Date", "X")]), "ambiguous", ("Day@H@D", "X@Date@E")),
        (cube(D=[hierarchy("H", "Date"), hierarchy("B", "Book")]), "ok", ("Date@H@D",)),
        (cube(D=[hierarchy("Years", "Year")]), "unverified", ("Year@Years@D",)),
        (cube(Date=[hierarchy("Years", "Year")]), "unverified", ("Year@Years@Date",)),
        (cube(D=[hierarchy("Date", "Date", slicing=False)]), "missing", ()),
        (cube(D=[hierarchy("Date", "ALL")]), "missing", ()),
        (cube(Measures=[hierarchy("Measures", "Time")]), "missing", ()),
        (cube(D=[hierarchy("Epoch", "Time")]), "missing", ()),
        (cube(Epoch=[hierarchy("Date", "Date")]), "missing", ()),
        (cube(), "missing", ()),
    ],
)
def test_types_and_names_decide_where_nobody_says_which_level_is_meant(
    found: dict[str, Any], status: str, candidates: tuple[str, ...]
) -> None:
    assert verdict(found) == (status, candidates)


def test_of_the_levels_of_a_date_the_type_counts_more_than_the_name() -> None:
    mixed = hierarchy("Calendar", "Quarter", "Update")
    mixed["levels"][0]["type"] = "TIME"

    assert verdict(cube(D=[mixed])) == ("ok", ("Quarter@Calendar@D",))


TWO = cube(
    D=[hierarchy("H", "Day", "Hour"), hierarchy("G", "Day")],
    E=[hierarchy("H", "Day"), hierarchy("Late", "Hour", slicing=False)],
    Epoch=[hierarchy("Epoch", "Branch")],
)


@pytest.mark.parametrize(
    ("as_of_date", "status", "candidates"),
    [
        ("Day@H@D", "ok", ("Day@H@D",)),
        ("Day@G", "ok", ("Day@G@D",)),
        ("Hour", "ok", ("Hour@H@D",)),
        ("Day@H", "ambiguous", ("Day@H@D", "Day@H@E")),
        ("Day", "ambiguous", ("Day@H@D", "Day@G@D", "Day@H@E")),
        ("day@H@D", "missing", ()),
        ("Hour@Late@E", "missing", ()),
        ("H@D", "missing", ()),
        ("Branch@Epoch@Epoch", "missing", ()),
    ],
)
def test_a_level_that_is_named_is_looked_for_among_the_slicing_ones(
    as_of_date: str, status: str, candidates: tuple[str, ...]
) -> None:
    assert verdict(TWO, as_of_date) == (status, candidates)


def test_a_level_that_is_not_there_is_told_with_those_that_are() -> None:
    (check,) = check_slicing_hierarchy(catalogs(atoti=[TWO]), "Day@H@F")
    assert "no slicing hierarchy has the level 'Day@H@F'; slicing there: Hour@H@D, Day@G@D, Day@H@E" in check.message

    (check,) = check_slicing_hierarchy(catalogs(atoti=[cube()]), "Day")
    assert check.message.endswith("no hierarchy is slicing")


@pytest.mark.parametrize("as_of_date", ["", " ", "@", "Day@", "@H", "Day@ @D"])
def test_a_level_with_a_blank_part_is_refused(as_of_date: str) -> None:
    with pytest.raises(ConfigError, match="level@hierarchy@dimension"):
        check_slicing_hierarchy(catalogs(), as_of_date)


# -- answers -----------------------------------------------------------------------------------------------------------


def test_a_cube_in_several_catalogs_is_one_cube() -> None:
    dated, other = cube("C", D=[hierarchy("Date", "Date")]), cube("O")
    checks = check_slicing_hierarchy(catalogs(a=[dated], b=[other, dated], c=[dated]))

    assert [(c.catalog, c.cube, c.status, c.also_in) for c in checks] == [
        ("a", "C", "ok", ("b", "c")),
        ("b", "O", "missing", ()),
    ]


def test_the_wrapper_of_old_servers_is_taken_off() -> None:
    assert check_slicing_hierarchy(CAPTURES["session_discovery_pre6_wrapper"]["body"]) == []

    wrapped = {"status": "success", "data": CAPTURES["session_discovery"]["body"]}
    assert [check.status for check in check_slicing_hierarchy(wrapped)] == ["ok"]


def test_unknown_fields_are_ignored() -> None:
    body = copy.deepcopy(CAPTURES["session_discovery"]["body"])
    body |= {"status": "x", "more": [1]}
    body["catalogs"][0]["cubes"][0]["dimensions"][0]["hierarchies"][0] |= {"new": None}

    assert [check.status for check in check_slicing_hierarchy(body)] == ["ok"]


@pytest.mark.parametrize(
    ("where", "value", "path"),
    [
        ((), [], "$"),
        ((), None, "$"),
        ((), {}, "$"),
        ((), {"status": "error", "error": {}}, "$.status"),
        ((), {"status": "success"}, "$"),
        (("catalogs",), {}, "$.catalogs"),
        (("catalogs", 0), "x", "$.catalogs[0]"),
        (("catalogs", 0, "name"), None, "$.catalogs[0].name"),
        (("catalogs", 0, "cubes"), None, "$.catalogs[0].cubes"),
        (("catalogs", 0, "cubes", 0, "name"), 7, "$.catalogs[0].cubes[0].name"),
        (("catalogs", 0, "cubes", 0, "dimensions", 0, "name"), 7, "$.catalogs[0].cubes[0].dimensions[0].name"),
        (
            ("catalogs", 0, "cubes", 0, "dimensions", 0, "hierarchies", 1, "slicing"),
            "true",
            "$.catalogs[0].cubes[0].dimensions[0].hierarchies[1].slicing",
        ),
        (
            ("catalogs", 0, "cubes", 0, "dimensions", 0, "hierarchies", 1, "levels", 0, "type"),
            None,
            "$.catalogs[0].cubes[0].dimensions[0].hierarchies[1].levels[0].type",
        ),
    ],
)
def test_what_is_no_discovery_is_an_error_that_names_the_place(
    where: tuple[str | int, ...], value: Any, path: str
) -> None:
    body: Any = {"": copy.deepcopy(CAPTURES["session_discovery"]["body"])}
    spot = body
    for step in ("", *where)[:-1]:
        spot = spot[step]
    spot[("", *where)[-1]] = value

    with pytest.raises(LimitsProtocolError) as caught:
        check_slicing_hierarchy(body[""])
    assert caught.value.path == path


def test_a_field_that_is_missing_is_named() -> None:
    with pytest.raises(LimitsProtocolError, match=r"at \$\.catalogs\[0\]: 'cubes' is missing"):
        check_slicing_hierarchy({"catalogs": [{"name": "atoti"}]})


# -- versions ----------------------------------------------------------------------------------------------------------


def versions(*found: Any, api: str = "activeviam/pivot") -> dict[str, Any]:
    return {"apis": {api: {"versions": list(found)}}}


def version(number: Any, path: Any = "/rest") -> dict[str, Any]:
    return {"id": number, "restPath": path}


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        (CAPTURES["session_versions"]["body"], "activeviam/pivot/rest/v10"),
        (CAPTURES["session_versions_docs_variant"]["body"], "activeviam/pivot/rest/v10"),
        (versions(version("9", "/a"), version("10", "/b"), version("8", "/c")), "b"),
        (versions(version("v9", "/a"), version("v10", "/b")), "b"),
        (versions(version("v9", "/a"), version("10", None), {"id": "11"}), "a"),
        (versions(version("beta", "/a"), version(9, "/b")), "b"),
        (versions(version("9.2", "/a"), version("9.10", "/b")), "b"),
        (versions(version("9", "pivot/rest")), "pivot/rest"),
        (versions(version("9", "//other.example/rest")), "other.example/rest"),
        ({"apis": versions(version("9", "/a"), api="pivot")["apis"] | versions(version("1", "/b"))["apis"]}, "b"),
        ({"apis": versions(version("9", "/a"), api="pivot")["apis"] | versions({"id": "1"})["apis"]}, "a"),
    ],
)
def test_the_highest_number_with_a_path_is_chosen(answer: Any, path: str) -> None:
    assert pivot_path(answer) == path


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ([], "$"),
        ({}, "$"),
        ({"apis": []}, "$.apis"),
        ({"apis": {}}, "$.apis"),
        (versions(), "$.apis"),
        (versions(version("9", None)), "$.apis"),
        (versions(version("new", "/a")), "$.apis"),
        ({"apis": {"pivot": {"versions": {}}}}, "$.apis['pivot'].versions"),
        (versions("9"), "$.apis['activeviam/pivot'].versions[0]"),
        (versions(version("9", 7)), "$.apis['activeviam/pivot'].versions[0].restPath"),
        (versions(version("9", "http://other.example/")), "$.apis['activeviam/pivot'].versions[0].restPath"),
        (versions(version("9", "/../admin")), "$.apis['activeviam/pivot'].versions[0].restPath"),
        (versions(version("9", "/a?b=c")), "$.apis['activeviam/pivot'].versions[0].restPath"),
        (versions(version("9", "/")), "$.apis['activeviam/pivot'].versions[0].restPath"),
    ],
)
def test_an_answer_without_a_usable_path_is_an_error_that_names_the_place(answer: Any, path: str) -> None:
    with pytest.raises(LimitsProtocolError) as caught:
        pivot_path(answer)
    assert caught.value.path == path
