"""Source modules: found, checked, and their parameters made values of."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.panoply.sources.module import load_module, parse_config
from asyncconn.panoply.sources.params import Param, choices_of, convert, default_of, label, parse_params

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

GOOD = """
import asyncconn.panoply as panoply

class Mine(panoply.DataSource):
    def read(self, n=None):
        return None

Stream = Mine
CONFIG = {"title": "My source", "icon": "data:,", "categories": ["DB"], "params": [{"name": "user"}]}
"""


@pytest.fixture(autouse=True)
def _imports_are_forgotten() -> Iterator[None]:
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if not name.startswith("asyncconn."):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


# -- finding -----------------------------------------------------------------------------------------------------------


def test_a_file_is_loaded_with_its_stream_and_config(write: Callable[..., Path]) -> None:
    found = load_module(write(GOOD))

    assert (found.name, found.stream.__name__, found.config.title) == ("mine", "Mine", "My source")
    assert [param.name for param in found.config.params] == ["user"]
    assert found.config.rest == {"categories": ["DB"]}


def test_a_file_finds_the_modules_beside_it(write: Callable[..., Path]) -> None:
    write("TITLE = 'from beside'", "asyncconn_test_beside.py")
    path = write("from asyncconn_test_beside import TITLE\n" + GOOD.replace('"My source"', "TITLE"))

    assert load_module(path).config.title == "from beside"


def test_a_package_folder_is_loaded_with_its_relative_imports(write: Callable[..., Path], tmp_path: Path) -> None:
    write(GOOD, "asyncconn_test_package/inner.py")
    write("from .inner import CONFIG, Mine as Stream", "asyncconn_test_package/__init__.py")

    assert load_module(tmp_path / "asyncconn_test_package").stream.__name__ == "Mine"


def test_a_dotted_name_is_imported(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("", "asyncconn_test_dotted/__init__.py")
    write(GOOD, "asyncconn_test_dotted/mine.py")
    monkeypatch.syspath_prepend(tmp_path)

    assert load_module("asyncconn_test_dotted.mine").name == "asyncconn_test_dotted.mine"


@pytest.mark.parametrize("name", ["json", "orjson", "not-a-name"])
def test_a_file_named_like_another_module_takes_nothing_over(write: Callable[..., Path], name: str) -> None:
    before = sys.modules.get(name)
    found = load_module(write(GOOD, f"{name}.py"))

    assert found.stream.__name__ == "Mine"
    assert sys.modules.get(name) is before


def test_a_module_that_fails_is_loaded_anew_when_it_is_corrected(write: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError):
        load_module(write("1 / 0"))

    assert load_module(write(GOOD)).stream.__name__ == "Mine"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("no_such_module", "there is no module 'no_such_module'"),
        ("json.no_such_part", "there is no module 'json.no_such_part'"),
        ("no_such_file.py", "no_such_file.py: there is no such file"),
        ("what is this", "neither a module's name"),
    ],
)
def test_what_is_not_there_is_said(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_module(given)


def test_a_folder_that_is_no_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no __init__"):
        load_module(tmp_path)


def test_an_error_on_import_names_file_and_line_and_is_the_cause(write: Callable[..., Path]) -> None:
    path = write("import json\n\n\njson.loads('{')\n")

    with pytest.raises(ConfigError) as caught:
        load_module(path)

    assert f"raised JSONDecodeError while it was imported in {path}, line 4" in caught.value.message
    assert type(caught.value.__cause__).__name__ == "JSONDecodeError"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_library.part", "No module named 'no_such_library': install no_such_library"),
        ("class :", "not Python: .* line 1"),
        ("raise SystemExit(3)", "raised SystemExit while it was imported"),
    ],
)
def test_what_keeps_a_module_from_being_imported_is_said(write: Callable[..., Path], text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_module(write(text))


def test_an_original_module_is_told_to_change_its_import(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "panoply", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"change 'import panoply' to 'import asyncconn\.panoply as panoply'"):
        load_module(write("import panoply"))


def test_a_missing_library_is_not_taken_for_the_module(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("import no_such_library", "asyncconn_test_lacking.py")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match=r"asyncconn_test_lacking raised .* line 1: .*install no_such_library"):
        load_module("asyncconn_test_lacking")


# -- Stream and CONFIG -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Stream = Mine", "", "mine.py: there is no Stream: add Stream = YourDataSource"),
        ("Stream = Mine", "Stream = Mine({})", "Stream is no class but of type Mine: write Stream = Mine"),
        ("Stream = Mine", "Stream = 'Mine'", "Stream is no class but of type str"),
        ("Stream = Mine", "Stream = dict", r"Stream \(dict\) is no DataSource"),
        ("def read", "def reed", r"Stream \(Mine\) has no read: write def read\(self, n=None\)"),
        ("    def read(self, n=None):\n        return None", "    read = 5", "read cannot be called"),
        ("CONFIG =", "CONF =", "there is no CONFIG: add CONFIG = "),
        ("CONFIG = {", "CONFIG = 1 or {", "CONFIG is of type int: make it a dict"),
        ('"My source"', "7", 'CONFIG."title".* is of type int: make it a text'),
        ('[{"name": "user"}]', '{"name": "user"}', 'CONFIG."params".* is of type dict: make it a list'),
    ],
)
def test_a_module_that_does_not_keep_the_contract_is_told_what_to_do(
    write: Callable[..., Path], before: str, after: str, said: str
) -> None:
    assert before in GOOD
    with pytest.raises(ConfigError, match=said):
        load_module(write(GOOD.replace(before, after)))


def test_a_source_of_the_original_package_is_told_to_change_its_import(write: Callable[..., Path]) -> None:
    text = """
import sys, types
original = types.ModuleType("panoply")
class DataSource:
    __module__ = "panoply.datasource"
class Stream(DataSource):
    def read(self, n=None): ...
CONFIG = {}
"""
    with pytest.raises(ConfigError, match="of the original package: change 'import panoply'"):
        load_module(write(text))


def test_the_title_and_the_parameters_may_be_missing() -> None:
    config = parse_config({"keywords": ["k"]}, title="mine")

    assert (config.title, config.params, config.rest) == ("mine", (), {"keywords": ["k"]})


# -- parameters --------------------------------------------------------------------------------------------------------


def test_every_field_of_the_contract_is_kept() -> None:
    given = {
        "name": "access_token",
        "title": "T",
        "placeholder": "P",
        "help": "H",
        "description": "D",
        "link": "L",
        "required": True,
        "default": "d",
        "type": "oauth",
        "values": ["a"],
        "dependencies": [],
        "category": "advanced",
        "oauthAuthorizeURL": "1",
        "oauthAccessURL": "2",
        "oauthRefreshURL": "3",
        "unheard": "of",
    }
    [param] = parse_params([given])

    assert param == Param(
        "access_token", "T", "P", "H", "D", "L", True, "d", "oauth", ("a",), (), "advanced", "1", "2", "3",
        {"unheard": "of"},
    )  # fmt: skip


def test_a_default_is_in_no_repr() -> None:
    assert "made-up" not in repr(parse_params([{"name": "password", "type": "password", "default": "made-up"}]))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (["user"], r'CONFIG\["params"\]\[0\] is of type str: make it a dict'),
        ([{"name": "a"}, {"title": "b"}], r'CONFIG\["params"\]\[1\] has no "name"'),
        ([{"name": 5}], r'CONFIG\["params"\]\[0\] has no "name"'),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], r"\[2\]: the name 'a' is that of .*\[0\] too; rename"),
        ([{"name": "a", "type": 5}], r"\[0\] \('a'\): \"type\" is of type int"),
        ([{"name": "a", "required": "yes"}], '"required" is of type str: make it True or False'),
        ([{"name": "a", "values": "abc"}], '"values" is of type str: make it a list, or a function of source'),
        ([{"name": "a", "values": ["x", {"name": "y"}]}], r'"values"\[1\] is of type dict: make it .* "value"'),
        ([{"name": "a", "dependencies": "b"}], '"dependencies" is no list of names'),
        ([{"name": "a", "dependencies": ["b"]}], r"\[0\] \('a'\): \"dependencies\" names 'b', which is none"),
        ([{"name": "a", "dependencies": ["a"]}], "a depend on each other"),
        (
            [{"name": "a", "dependencies": ["b"]}, {"name": "b", "dependencies": ["a"]}, {"name": "c"}],
            "a, b depend on each other",
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_named_with_its_place(params: list[Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_params(params)


def test_an_unknown_type_is_text() -> None:
    [param] = parse_params([{"name": "file", "type": "googledrive"}])

    assert (param.kind, param.type, convert(param, ["x,y"])) == ("text", "googledrive", "x,y")


# -- values ------------------------------------------------------------------------------------------------------------

PAIRS = ({"name": "Users", "value": 7, "more": 1}, {"name": "Posts", "value": 8}, {"name": "8", "value": 9})


@pytest.mark.parametrize(
    ("param", "texts", "choices", "value"),
    [
        (Param("a"), [" x "], None, " x "),
        (Param("a"), ["x", "y"], None, "y"),
        (Param("a", type="number"), ["5432"], None, "5432"),
        (Param("a", type="number"), [" -1.50e3 "], None, "-1.50e3"),
        (Param("a", type="number"), ["2"], (1, 2), 2),
        (Param("a", type="list"), ["x, y,,z", "u"], None, ["x", "y", "z", "u"]),
        (Param("a", type="list"), [""], None, []),
        (Param("a", type="dynamic-list"), ["Users,8"], PAIRS, [PAIRS[0], PAIRS[1]]),
        (Param("a", type="list"), ["x, y", "z"], ("x, y", "z"), ["x, y", "z"]),
        (Param("a", type="select"), ["7"], PAIRS, PAIRS[0]),
        (Param("a"), ["b"], ("a", "b"), "b"),
        (Param("a"), ["0"], (0, 1), 0),
        (Param("a", type="exclude"), ["x,y"], None, ["x", "y"]),
        (Param("a", type="truncate-table"), ["Yes"], None, True),
        (Param("a", type="truncate-table"), ["false"], None, False),
        (Param("a", type="primary-key"), ["{a}-{b}"], None, "{a}-{b}"),
    ],
)
def test_a_text_becomes_a_value_of_its_type(param: Param, texts: list[str], choices: Any, value: Any) -> None:
    made = convert(param, texts, choices)

    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("param", "text", "choices", "said"),
    [
        (Param("a", type="number"), "12px", None, "'12px' is not a number"),
        (Param("a", type="number"), "1_000", None, "is not a number"),
        (Param("a", type="number"), "nan", None, "is not a number"),
        (Param("a", type="number"), "1e999", None, "is not a number"),
        (Param("a", type="number"), "9" * 5000, None, "is not a number"),
        (Param("a", type="truncate-table"), "perhaps", None, "neither true nor false"),
        (Param("a", type="select"), "x", PAIRS, "'x' is not one of Users, Posts, 8"),
        (Param("a", type="list"), "Users,x", PAIRS, "'x' is not one of"),
        (Param("a"), "x", (), "there are none"),
        (Param("a"), "x", tuple(map(str, range(20))), "10, 11 and 8 more"),
        (Param("a"), "off", ({"name": "Off", "value": "off", "disabled": True}, "on"), "'off' is not one of on"),
    ],
)
def test_a_text_that_does_not_fit_is_told_what_is_allowed(param: Param, text: str, choices: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        convert(param, [text], choices)


def test_a_secret_that_does_not_fit_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        convert(Param("a", type="password"), ["made-up"], ("x",))

    assert "made-up" not in str(caught.value)


@pytest.mark.parametrize(
    ("param", "choices", "value"),
    [
        (Param("a"), None, None),
        (Param("a", default=""), None, None),
        (Param("a", type="number", default="5432"), None, "5432"),
        (Param("a", type="number", default=7), None, 7),
        (Param("a", type="list", default="x,y"), None, ["x", "y"]),
        (Param("a", type="list", default=["x,y"]), None, ["x", "y"]),
        (Param("a", type="list", default=[PAIRS[0]]), PAIRS, [PAIRS[0]]),
        (Param("a", type="select", default="Users"), PAIRS, PAIRS[0]),
        (Param("a", default=False), None, False),
    ],
)
def test_a_default_is_of_its_type_too(param: Param, choices: Any, value: Any) -> None:
    assert default_of(param, choices) == value


def test_a_default_that_does_not_fit_is_said_to_be_one() -> None:
    with pytest.raises(ConfigError, match=r"the default of 'port' in CONFIG.*: 'x' is not a number"):
        default_of(Param("port", type="number", default="x"))


def test_a_choice_is_called_by_its_name() -> None:
    assert [label(choice) for choice in ("a", {"name": "N", "value": 1}, {"value": 1})] == ["a", "N", "1"]


# -- choices -----------------------------------------------------------------------------------------------------------

SOURCE, OPTIONS = {"user": "me"}, {"limit": 2}


def one(source: dict[str, Any]) -> list[str]:
    return [source["user"]]


def two(source: dict[str, Any], options: dict[str, Any]) -> tuple[str, ...]:
    return (source["user"], str(options["limit"]))


async def asynchronous(source: dict[str, Any]) -> list[str]:
    await asyncio.sleep(0)
    return [source["user"]]


def lazy(source: dict[str, Any]) -> Iterator[str]:
    yield source["user"]


async def lazy_asynchronous(source: dict[str, Any]) -> AsyncIterator[str]:
    yield source["user"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (None, None),
        (("a",), ("a",)),
        (one, ("me",)),
        (two, ("me", "2")),
        (asynchronous, ("me",)),
        (lazy, ("me",)),
        (lazy_asynchronous, ("me",)),
        (lambda *args: [str(len(args))], ("2",)),
    ],
)
async def test_choices_come_from_any_kind_of_function(values: Any, found: Any) -> None:
    assert await choices_of(Param("a", values=values), SOURCE, OPTIONS) == found


async def test_a_function_of_choices_runs_off_the_loop_and_cannot_change_the_source() -> None:
    source = dict(SOURCE)
    threads: list[threading.Thread] = []

    def values(source: dict[str, Any]) -> list[str]:
        threads.append(threading.current_thread())
        source["user"] = "other"
        return []

    assert await choices_of(Param("a", values=values), source) == ()
    assert threads[0] is not threading.current_thread()
    assert source == SOURCE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda source: source["nobody"], "the values of 'a' could not be had: KeyError: 'nobody'"),
        (lambda source: "abc", "are of type str: its function must return a list"),
        (lambda source: {"name": "x", "value": 1}, "are of type dict: its function must return a list"),
        (lambda source: None, "are None: its function must return a list"),
        (lambda source: [None], r"the values of 'a'\[0\] is None"),
        (lambda source: iter(int, 1), "more than 100,000"),
    ],
)
async def test_choices_that_cannot_be_had_are_said(values: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await choices_of(Param("a", values=values), SOURCE)


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
async def test_choices_that_do_not_come_have_a_deadline(kind: str) -> None:
    release = threading.Event()

    def blocked(source: dict[str, Any]) -> list[str]:
        release.wait(10)
        return []

    async def endless(source: dict[str, Any]) -> list[str]:
        await asyncio.Event().wait()
        return []

    values = blocked if kind == "thread" else endless
    assert inspect.iscoroutinefunction(values) == (kind == "coroutine")
    try:
        with pytest.raises(ConfigError, match=r"the values of 'a' did not come within 0.05 s"):
            await choices_of(Param("a", values=values), SOURCE, timeout=0.05)
    finally:
        release.set()


async def test_a_timeout_of_the_function_itself_is_not_taken_for_the_deadline() -> None:
    def values(source: dict[str, Any]) -> list[str]:
        raise TimeoutError("the database does not answer")

    with pytest.raises(ConfigError, match="could not be had: TimeoutError: the database does not answer"):
        await choices_of(Param("a", values=values), SOURCE)
