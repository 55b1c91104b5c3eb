"""Pages that list something list all of it: the errors, and the variables with their defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from asyncconn import HubSettings, errors
from asyncconn.atoti_limits.settings import AtotiLimitsSettings
from asyncconn.datorama.settings import DatoramaSettings
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.tcup.settings import TcupSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_ERROR = re.compile(r"^\| ((?:· )*)\**`(\w+)`\** \|", re.MULTILINE)
_VARIABLE = re.compile(r"^\| `(\w+)` \| (.+?) \|", re.MULTILINE)


def test_the_page_of_errors_draws_their_tree() -> None:
    above: list[type[Exception]] = [errors.AsyncConnError]
    drawn = []
    for dots, name in _ERROR.findall((DOCS / "errors.md").read_text(encoding="utf-8")):
        kind = getattr(errors, name)
        depth = len(dots) // 2 + 1
        assert kind.__bases__[0] is above[depth - 1], name
        above[depth:] = [kind]
        drawn.append(kind)
    kinds = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]

    assert len(drawn) == len(set(drawn))
    assert {*drawn, errors.AsyncConnError} == {kind for kind in kinds if issubclass(kind, Exception)}


def _variables_of(settings: Any) -> dict[str, str]:
    """Each variable of a settings class of pydantic, and its default as the page writes it."""
    prefix = settings.model_config["env_prefix"]
    return {
        str(field.validation_alias or f"{prefix}{name}".upper()): "required"
        if field.is_required()
        else _written(field.default)
        for name, field in settings.model_fields.items()
    }


def _written(default: object) -> str:
    return "none" if default in (None, "") else f"`{default}`"


def test_the_page_of_settings_has_every_variable_with_its_default() -> None:
    hub = HubSettings.defaults()
    expected = {f"ASYNCCONN_{field.name.upper()}": _written(getattr(hub, field.name)) for field in fields(HubSettings)}
    for settings in (PanoplySettings, DatoramaSettings, AtotiLimitsSettings, TcupSettings):
        expected |= _variables_of(settings)

    assert dict(_VARIABLE.findall((DOCS / "settings.md").read_text(encoding="utf-8"))) == expected
