"""A source module: finds it, and checks that its ``Stream`` and ``CONFIG`` keep the contract.

Contract: panoply section 7.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.params import Param, parse_params
from asyncconn.panoply.sources.source import DataSource

if TYPE_CHECKING:
    import os
    from types import ModuleType

__all__ = ["SourceConfig", "SourceModule", "load_module", "parse_config"]

_CHANGE = "change 'import panoply' to 'import asyncconn.panoply as panoply'"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """A module's ``CONFIG``: ``rest`` has all but title, icon and params, such as ``categories`` and ``keywords``."""

    title: str
    icon: str = field(default="", repr=False)
    params: tuple[Param, ...] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceModule:
    """A source module that keeps the contract: ``stream`` is its class, to be called with ``(source, options)``."""

    name: str
    stream: type[DataSource]
    config: SourceConfig


def load_module(name_or_path: str | os.PathLike[str]) -> SourceModule:
    """Import a source module by its dotted name, or by the path of its ``.py`` file or package folder.

    A path's folder is added to the end of ``sys.path``, for the modules beside it.

        >>> load_module("my_sources/typeform.py").config.title
        'Typeform'

    Raises ``ConfigError``, with what, where and what to do: not found, not importable (the module's own error is the
    ``__cause__``), ``Stream`` or ``CONFIG`` missing or not as in the contract.
    """
    given = str(name_or_path)
    module = _imported(given)
    try:
        stream = _stream(module)
        if not hasattr(module, "CONFIG"):
            raise ConfigError('there is no CONFIG: add CONFIG = {"title": "...", "icon": "...", "params": [...]}')
        return SourceModule(module.__name__, stream, parse_config(module.CONFIG, title=module.__name__))
    except ConfigError as error:
        raise ConfigError(f"{given}: {error.message}") from None


def parse_config(config: Any, *, title: str = "") -> SourceConfig:
    """``CONFIG`` as an object; ``title`` is for one without a title. Raises ``ConfigError`` naming the place."""
    if not isinstance(config, Mapping):
        raise ConfigError(f"CONFIG is of type {type(config).__name__}: make it a dict with title, icon and params")
    texts = {}
    for key in ("title", "icon"):
        value = config.get(key)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f'CONFIG["{key}"] is of type {type(value).__name__}: make it a text')
        texts[key] = value or ""
    return SourceConfig(
        title=texts["title"] or title,
        icon=texts["icon"],
        params=parse_params(config.get("params", ())),
        rest={key: value for key, value in config.items() if key not in ("title", "icon", "params")},
    )


# -- Stream ------------------------------------------------------------------------------------------------------------


def _stream(module: ModuleType) -> type[DataSource]:
    if not hasattr(module, "Stream"):
        raise ConfigError("there is no Stream: add Stream = YourDataSource, the class itself")
    stream = module.Stream
    if not inspect.isclass(stream):
        hint = f"Stream = {type(stream).__name__}" if isinstance(stream, DataSource) else "Stream = YourDataSource"
        raise ConfigError(f"Stream is no class but of type {type(stream).__name__}: write {hint}")
    if not issubclass(stream, DataSource):
        if any(base.__name__ == "DataSource" and _is_original(base.__module__) for base in stream.__mro__):
            raise ConfigError(f"Stream ({stream.__name__}) is a DataSource of the original package: {_CHANGE}")
        raise ConfigError(f"Stream ({stream.__name__}) is no DataSource: let it inherit from panoply.DataSource")
    missing = sorted(stream.__abstractmethods__)
    if missing:
        raise ConfigError(f"Stream ({stream.__name__}) has no {', '.join(missing)}: write def read(self, n=None)")
    if not callable(stream.read):
        raise ConfigError(f"Stream ({stream.__name__}).read cannot be called: write def read(self, n=None)")
    return stream


def _is_original(module: str) -> bool:
    return module.partition(".")[0] == "panoply"


# -- importing ---------------------------------------------------------------------------------------------------------


def _imported(given: str) -> ModuleType:
    path = Path(given)
    if given.endswith(".py") or path.name != given or (path / "__init__.py").is_file():
        return _from_path(given, path)
    if not all(part.isidentifier() for part in given.split(".")):
        raise ConfigError(f"{given!r} is neither a module's name, as in package.module, nor the path of a .py file")
    try:
        return importlib.import_module(given)
    except ModuleNotFoundError as error:
        if error.name is None or f"{given}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"there is no module {given!r}: give its dotted name, or the path of its .py file or package folder"
            ) from error
        raise _raised(given, error, None) from error
    except (Exception, SystemExit) as error:
        raise _raised(given, error, None) from error


def _from_path(given: str, path: Path) -> ModuleType:
    path = path.resolve()
    is_package = path.is_dir()
    file = path / "__init__.py" if is_package else path
    if not file.is_file():
        what = "has no __init__.py: give the path of the .py file" if is_package else "there is no such file"
        raise ConfigError(f"{given}: {what}")
    if file.suffix != ".py":
        raise ConfigError(f"{given} is no .py file")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = path.name if is_package else path.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    if known is not None or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"asyncconn_source_{name}"  # it must not pass for another one
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(path)] if is_package else None
    )
    if spec is None or spec.loader is None:
        raise ConfigError(f"{given} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception | SystemExit):
            raise _raised(given, error, path if is_package else file) from error
        raise
    return module


def _raised(given: str, error: BaseException, path: Path | None) -> ConfigError:
    """What a module raised while it was imported, and where in it."""
    if isinstance(error, SyntaxError):
        return ConfigError(f"{given}: not Python: {error.msg}, in {error.filename}, line {error.lineno}")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    own = [frame for frame in frames if _belongs(frame.filename, given, path)]
    where = "".join(f" in {frame.filename}, line {frame.lineno}" for frame in (own or frames)[-1:])
    advice = ""
    if isinstance(error, ModuleNotFoundError):
        advice = f": {_CHANGE}" if error.name and _is_original(error.name) else f": install {error.name}"
    return ConfigError(f"{given} raised {type(error).__name__} while it was imported{where}: {error}{advice}")


def _belongs(filename: str, given: str, path: Path | None) -> bool:
    if path is not None:
        return filename == str(path) or Path(filename).is_relative_to(path)
    parts = given.split(".")
    return parts[0] in Path(filename).parts or Path(filename).stem == parts[-1]
