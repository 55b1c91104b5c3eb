"""What a session tells about itself: its versions, and its cubes with their slicing hierarchies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CONTENT", "PIVOT", "Cube", "Slicing", "VersionsStyle", "discovery", "slicing_hierarchies", "versions"]

PIVOT = "/activeviam/pivot/rest/v10"
CONTENT = "/activeviam/content/rest/v9"

VersionsStyle = Literal["sdk", "docs", "short", "some_rest_path", "no_rest_path"]
Slicing = Literal["ok", "missing", "ambiguous", "unverified"]

_MEASURES = (("contributors.COUNT", "#,###", "long"), ("Price.SUM", "#,###.00", "double"))


@dataclass(slots=True)
class Cube:
    """A cube of the session; ``slicing`` None is whatever the session's own knob says."""

    name: str = "Cars_Cube"
    slicing: Slicing | None = None


def versions(style: VersionsStyle, server_version: str) -> dict[str, Any]:
    """The answer of ``/versions/rest``.

    ``sdk``: long API names, ids without ``v``; ``docs``: ``pivot`` with ``v10``; ``short``: ``pivot`` with ``10``, as
    before 6.0; ``some_rest_path``: there are newer versions whose ``restPath`` is missing or null; ``no_rest_path``:
    none has one.
    """
    path = {"restPath": PIVOT}
    nine = {"id": "9", "restPath": "/activeviam/pivot/rest/v9", "wsPath": "/activeviam/pivot/ws/v9"}
    ten = {"id": "10", **path, "wsPath": "/activeviam/pivot/ws/v10"}
    content = {"versions": [{"id": "9", "restPath": CONTENT}]}
    match style:
        case "sdk":
            apis: dict[str, Any] = {"activeviam/pivot": {"versions": [nine, ten]}, "activeviam/content": content}
        case "docs":
            apis = {"pivot": {"versions": [{"id": "v10", **path}]}}
        case "short":
            apis = {"pivot": {"versions": [nine, ten]}, "content": content}
        case "some_rest_path":
            newer: list[dict[str, Any]] = [{"id": "11"}, {"id": "12", "restPath": None}]
            apis = {"activeviam/pivot": {"versions": [nine, *newer, ten]}, "activeviam/content": content}
        case "no_rest_path":
            apis = {"activeviam/pivot": {"versions": [{"id": "9"}, {"id": "10", "restPath": None}]}}
    return {"version": 1, "serverVersion": server_version, "apis": apis}


def discovery(cubes: list[Cube], slicing: Slicing) -> dict[str, Any]:
    """The answer of ``cube/discovery``; ``slicing`` is for the cubes that have none of their own."""
    return {"catalogs": [{"name": "atoti", "cubes": [_cube(cube, cube.slicing or slicing) for cube in cubes]}]}


def slicing_hierarchies(document: dict[str, Any]) -> list[str]:
    """The slicing hierarchies of all cubes, each as ``level@hierarchy@dimension``; ``Epoch`` does not count."""
    return [
        f"{hierarchy['levels'][0]['name']}@{hierarchy['name']}@{dimension['name']}"
        for catalog in document["catalogs"]
        for cube in catalog["cubes"]
        for dimension in cube["dimensions"]
        for hierarchy in dimension["hierarchies"]
        if hierarchy["slicing"] and dimension["name"] != "Epoch"
    ]


def _cube(cube: Cube, slicing: Slicing) -> dict[str, Any]:
    date = slicing in {"ok", "ambiguous"}
    hierarchies = [_hierarchy("CarName", slicing=False), _hierarchy("Date", slicing=date)]
    if slicing == "ambiguous":
        hierarchies.append(_hierarchy("AsOfDate", slicing=True))
    elif slicing == "unverified":
        hierarchies.append(_hierarchy("Scenario", slicing=True))
    epoch = {**_hierarchy("Epoch", slicing=True), "visible": False, "levels": [_level("Branch")]}
    return {
        "name": cube.name,
        "caption": cube.name,
        "measures": [
            {"name": name, "caption": name, "formatString": form, "type": kind, "visible": True}
            for name, form, kind in _MEASURES
        ],
        "dimensions": [
            _dimension("Cars", "CarName", hierarchies, visible=True),
            _dimension("Epoch", "Epoch", [epoch], visible=False),
        ],
        "kpis": [],
        "sets": [],
        "defaultMembers": [
            {
                "dimension": "Measures",
                "hierarchy": "Measures",
                "path": ["contributors.COUNT"],
                "captionPath": ["contributors.COUNT"],
            }
        ],
        "contextValues": [],
        "measureGroups": [],
    }


def _dimension(name: str, default: str, hierarchies: list[dict[str, Any]], *, visible: bool) -> dict[str, Any]:
    return {
        "name": name,
        "caption": name,
        "type": "REGULAR",
        "defaultHierarchy": default,
        "visible": visible,
        "hierarchies": hierarchies,
    }


def _hierarchy(name: str, *, slicing: bool) -> dict[str, Any]:
    """A slicing hierarchy has no ``ALL`` level."""
    levels = [_level(name)] if slicing else [_level("ALL"), _level(name)]
    return {"name": name, "caption": name, "slicing": slicing, "visible": True, "levels": levels}


def _level(name: str) -> dict[str, Any]:
    return {"name": name, "caption": name, "type": "ALL" if name == "ALL" else "REGULAR"}
