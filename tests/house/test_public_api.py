"""What users may import, and what importing costs."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import asyncconn
from asyncconn import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY = (
    "aiobotocore botocore aiomqtt websockets pandas typer rich fastapi starlette tenacity moto aiohttp pydantic anyio "
    "prometheus_client opentelemetry"
)


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def _modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(asyncconn.__path__, "asyncconn.")]
    return [name for name in found if not name.endswith("__main__")]


def test_the_public_names_are_sorted_and_each_can_be_imported() -> None:
    assert sorted(asyncconn.__all__) == asyncconn.__all__
    assert len(set(asyncconn.__all__)) == len(asyncconn.__all__)
    for name in asyncconn.__all__:
        assert getattr(asyncconn, name) is not None
        assert name in dir(asyncconn)


def test_a_star_import_gives_exactly_the_public_names() -> None:
    code = "before = {*vars(), 'before'}\nfrom asyncconn import *\nprint(*sorted(vars().keys() - before))"

    assert _run(code).split() == sorted(asyncconn.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = asyncconn.nothing


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    tree = ast.parse(Path(asyncconn.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}

    assert seen == asyncconn._HOMES
    assert {*seen, "errors", "__version__"} == set(asyncconn.__all__)


def test_no_function_bears_the_name_of_a_module() -> None:
    modules = {name.rpartition(".")[2] for name in _modules() if name.count(".") == 1}

    assert not modules & (set(asyncconn.__all__) - {"errors"})


def test_a_connector_a_hub_and_a_token_load_no_pydantic() -> None:
    code = """
import sys
from asyncconn import Connector, Hub, Platform, TokenAuth, Window
class Acme(Connector):
    platform = Platform("acme", base_url="http://127.0.0.1:1", rates=Window(1, 1.0))
Acme(auth=TokenAuth("x"), hub=Hub())
print([name for name in ("pydantic", "tenacity", "pandas", "aiobotocore") if name in sys.modules])
"""
    assert _run(code) == "[]"


def test_a_connector_loads_what_it_needs_before_its_first_call_and_no_more() -> None:
    code = """
import sys
import aiohttp
before = set(sys.modules)
import asyncconn
class Acme(asyncconn.Connector):
    platform = asyncconn.Platform("acme", rates=asyncconn.Window(20, 1.0))
asyncconn.Hub(), asyncconn.TokenAuth("x")
loaded = {name for name in sys.modules if name not in before}
foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
print(*sorted(foreign), sum(name.startswith("asyncconn") for name in loaded))
print(*sorted(name for name in loaded if name.startswith("asyncconn.")))
"""
    first, second = _run(code).splitlines()
    later = "batches rows http.download http.pages http.polls http.rows http.shapes http.upload core.threads core.files"

    *foreign, ours = first.split()
    assert foreign == ["asyncconn", "orjson"]
    assert int(ours) <= 46
    assert set(second.split()).isdisjoint(f"asyncconn.{name}" for name in later.split())


def test_no_module_is_public_but_errors() -> None:
    public = {name for name in asyncconn.__all__ if isinstance(getattr(asyncconn, name), ModuleType)}

    assert public == {"errors"}


def test_public_things_live_in_this_package() -> None:
    for name in asyncconn.__all__:
        value = getattr(asyncconn, name)
        if not isinstance(value, ModuleType | str):
            assert value.__module__.startswith("asyncconn"), name


def test_every_error_is_exported_sorted_and_of_the_one_root() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }

    assert sorted(errors.__all__) == errors.__all__
    assert kinds <= set(errors.__all__)
    assert all(issubclass(getattr(errors, name), errors.AsyncConnError) for name in kinds)


def test_every_module_exports_what_it_says() -> None:
    modules = [importlib.import_module(name) for name in _modules()]
    missing = [
        f"{module.__name__}.{public}"
        for module in modules
        for public in getattr(module, "__all__", [])
        if not hasattr(module, public)
    ]

    assert missing == []


_OBJECT = re.compile(r"\b(dict|Mapping)\[str, (typing\.)?Any\]")  # one of JSON, or a row
_ANY = re.compile(r"\bAny\b")
_NOUNS = (
    "asyncconn.datorama.resources", "asyncconn.datorama.bulk", "asyncconn.atoti_limits.resources",
    "asyncconn.tcup.resources",
)  # fmt: skip

_JSON = "decoded JSON of a platform that nobody described: give a model, or say what it is"
_THEIRS = "the records are the caller's, of whatever type they were put"
_AUTHOR = "what an author writes in its place may be plain or async, and bring what it likes"
ANY = {
    "asyncconn.core.buffer.receipts.FlushReport.undelivered": _THEIRS,
    "asyncconn.datorama.client.Datorama.call": _JSON,
    "asyncconn.draining.DrainReport.undelivered": _THEIRS,
    "asyncconn.errors.ApiError.details": _JSON,
    "asyncconn.http.calls.Calls.call": _JSON,
    "asyncconn.http.calls.Calls.pages": _JSON,
    "asyncconn.http.calls.Calls.poll": _JSON,
    "asyncconn.http.calls.Calls.rows": _JSON,
    "asyncconn.http.response.Response.json": _JSON,
    "asyncconn.integrations.fastapi.Provide": "stands where FastAPI wants a parameter's default or annotation",
    "asyncconn.panoply.sources.source.DataSource.get_resource": _AUTHOR,
    "asyncconn.panoply.sources.source.DataSource.list_resources": _AUTHOR,
    "asyncconn.panoply.sources.source.DataSource.read": _AUTHOR,
    "asyncconn.tcup.streams.messages.Message.json": "decoded JSON of whoever has published it",
}


def _public() -> Iterator[object]:
    """What the faces show, and the nouns of the clients."""
    faces = ["panoply", "datorama", "atoti_limits", "tcup", "errors", "sandbox", "testing"]
    faces += [f"integrations.{name}" for name in ("asgi", "dask", "fastapi", "opentelemetry", "prometheus", "redis")]
    for name in ("asyncconn", *(f"asyncconn.{face}" for face in faces)):
        face = importlib.import_module(name)
        yield from (getattr(face, public) for public in face.__all__)
    for name in filter(lambda name: name.startswith(_NOUNS), _modules()):
        module = importlib.import_module(name)
        yield from (value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == name)


def _returned(thing: object) -> Iterator[tuple[str, object]]:
    """Each public function, method and property of it, by its full name, and the type that it returns."""
    kinds = (
        [kind for kind in thing.__mro__ if kind.__module__.startswith("asyncconn")] if inspect.isclass(thing) else []
    )
    members = [member for kind in kinds for name, member in vars(kind).items() if not name.startswith("_")]
    for member in members or [thing]:
        found = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(found):
            yield f"{found.__module__}.{found.__qualname__}", found.__annotations__.get("return")


def test_public_calls_return_types() -> None:
    returned = {name: kind for thing in _public() for name, kind in _returned(thing)}
    public = {name for name in returned if not any(part.startswith("_") for part in name.split(".")[1:])}

    assert len(public) > 300
    assert sorted(name for name in public if _ANY.search(_OBJECT.sub("", str(returned[name])))) == sorted(ANY)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, asyncconn\nprint(*[name for name in '{HEAVY}'.split() if name in sys.modules])"

    assert _run(code) == ""


def test_a_connector_loads_no_more_than_it_needs() -> None:
    lazy = [name for name in HEAVY.split() if name not in {"aiohttp", "pydantic", "anyio"}]
    code = f"import sys\nfrom asyncconn import *\nprint(*[name for name in {lazy} if name in sys.modules])"

    assert _run(code) == ""


def test_importing_changes_nothing_about_logging_or_the_event_loop() -> None:
    code = """
import asyncio, logging, sys, signal
before = (logging.root.handlers[:], logging.root.level, sys.excepthook, asyncio.get_event_loop_policy(),
          signal.getsignal(signal.SIGTERM))
from asyncconn import *
after = (logging.root.handlers[:], logging.root.level, sys.excepthook, asyncio.get_event_loop_policy(),
         signal.getsignal(signal.SIGTERM))
print(before == after, [type(h).__name__ for h in logging.getLogger("asyncconn").handlers])
"""

    assert _run(code) == "True []"  # no NullHandler either: a script without logging sees what is lost


def test_the_package_says_that_it_is_typed_and_which_version_it_is() -> None:
    marker = importlib.resources.files("asyncconn") / "py.typed"

    assert marker.is_file()
    assert asyncconn.__version__[0].isdigit()
