"""``ConfigFile.conf``: the options of a client in a file. Contract: tcup section 10."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncconn.core.paths import file_path
from asyncconn.errors import ConfigError
from asyncconn.settings import load
from asyncconn.tcup.routes import BASES
from asyncconn.tcup.settings import TcupSettings

if TYPE_CHECKING:
    import os

__all__ = ["options_of", "read_config"]

_OPTIONS = {
    "tcup": (
        "url", "api_key", "dls_key", "app_key", "auth_mode", "symmetric_key", "symmetric_key_encoding",
        "default_timezone", "timeout", "verify_tls", "ca_file", "routing_key", "direct_exchange",
    ),
    "paths": ("sos_path", "mr_path", "dls_path", "ws_path", "sse_path", "task_path", "workflow_path"),
    "mqtt": ("host", "port", "tls", "username", "password", "topic", "ca_file", "tls_minimum", "keepalive"),
}  # fmt: skip


def read_config(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """The options of a file by section, without the empty ones; names in lower case.

    A file without sections is all ``[tcup]``. Raises ``ConfigError`` that quotes no value: for a file that cannot be
    read, and for a section or option that there is not.
    """
    file = file_path(path, "the configuration file")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeError) else f"cannot be read: {error.strerror}"
        wrong = f"{file} {why}"
    else:
        found, wrong = _parsed(text)
        if not wrong:
            return _checked(found, str(file))
        wrong = f"{file} {wrong}"
    raise ConfigError(wrong)  # out here it has no context: the originals quote lines, with keys in them


def _parsed(text: str) -> tuple[dict[str, dict[str, str]], str]:
    try:
        return _sections(text), ""
    except configparser.MissingSectionHeaderError:
        pass
    except configparser.Error as error:
        return {}, _problem(error)
    try:
        return _sections(f"[tcup]\n{text}"), ""
    except configparser.Error as error:
        return {}, _problem(error)


def _sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(
        delimiters=("=",), inline_comment_prefixes=("#", ";"), interpolation=None, default_section="\0"
    )
    parser.read_string(text)
    found: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        options = {name: value.strip() for name, value in parser.items(section) if value and value.strip()}
        found.setdefault(section.strip().lower(), {}).update(options)
    return found


def _problem(error: configparser.Error) -> str:
    line = getattr(error, "lineno", None) or next((one[0] for one in getattr(error, "errors", ())), None)
    kind = type(error).__name__.removesuffix("Error").lower()
    return f"is no configuration: {kind} error" + (f" in line {line}" if isinstance(line, int) else "")


def _checked(found: dict[str, dict[str, str]], file: str) -> dict[str, dict[str, str]]:
    for section, options in found.items():
        if section not in _OPTIONS:
            raise ConfigError(f"{file}: there is no section [{section}]: they are {', '.join(_OPTIONS)}")
        if strange := options.keys() - {*_OPTIONS[section]}:
            raise ConfigError(f"{file}: [{section}] has no option {sorted(strange)[0]}")
    return found


def options_of(given: Mapping[str, Any], file: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
    """Arguments of the client: what is ``given``, else from the environment, else from a ``file``'s sections.

    Raises ``ConfigError`` naming what is missing or does not fit.
    """
    sections = file or {}
    settings = load(TcupSettings)
    below = {**sections.get("tcup", {}), **sections.get("paths", {})}
    below.update({f"mqtt_{name}": value for name, value in sections.get("mqtt", {}).items()})
    above = settings.model_dump(exclude_none=True)
    # The file's texts become what they are by the same rules as the environment's.
    options = load(TcupSettings, **{**below, **above}).model_dump(exclude_none=True)
    if options.pop("verify_tls", True) is False:
        raise ConfigError("verify_tls = false is refused: name the certificate to trust as ca_file instead")
    paths = {name: options.pop(name) for name in BASES if name in options}
    mqtt = {name: options.pop(f"mqtt_{name}") for name in _OPTIONS["mqtt"] if f"mqtt_{name}" in options}
    made = {**options, "paths": paths}
    chosen = {name: value for name, value in given.items() if value is not None}
    if mqtt:
        chosen["mqtt"] = {**mqtt, **(chosen.get("mqtt") or {})}
    chosen["paths"] = {**made["paths"], **(chosen.get("paths") or {})}
    made.update(chosen)
    if "timeout" in made and "timeouts" in chosen:
        del made["timeout"]
    if missing := [name for name in ("url", "api_key") if not made.get(name)]:
        variables = tuple(f"ASYNCCONN_TCUP_{name.upper()}" for name in missing)
        unset = ConfigError(f"TCUP needs {missing[0]}: as an argument, as {variables[0]}, or in the file")
        unset.missing = variables
        raise unset
    return made
