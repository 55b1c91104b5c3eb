"""Every error, ours and the platforms', present and future, survives pickle and copy, and says one thing everywhere."""

from __future__ import annotations

import copy
import copyreg
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import asyncconn
from asyncconn import errors
from asyncconn.errors import Answer, AsyncConnError, ConfigError, DeliveryFailed, RateLimited

for _module in pkgutil.walk_packages(asyncconn.__path__, "asyncconn."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)

SAMPLES: dict[str, Any] = {
    "message": "it went wrong",
    "args": "it went wrong",
    "msg": "it went wrong",
    "answer": Answer("shop", 503, code="busy", retry_after=3.0),
    "resets_at": datetime(2030, 1, 1, tzinfo=UTC),
    "records": [{"id": 1}, {"id": 2}],
    "original_error": ValueError("theirs"),
    "problems": ["it went wrong"],
}


@pytest.fixture(autouse=True)
def _python_alone() -> Iterator[None]:
    """Dask, which some other test may have imported, has Python pickle all errors in its own way."""
    theirs = {kind: how for kind, how in copyreg.dispatch_table.items() if how.__module__.startswith("tblib")}
    for kind in theirs:
        del copyreg.dispatch_table[kind]
    yield
    copyreg.dispatch_table.update(theirs)


@pytest.mark.parametrize("kind", [errors.ProtocolError, errors.ConfigError, errors.PollTimeout])
def test_half_a_character_in_a_message_is_told_in_ascii(kind: type[AsyncConnError]) -> None:
    error = kind("é: \ud800")
    told = [error.message, str(error.args[0])]
    error.message = "later: \udcff"
    told += [error.message, str(error.args[0])]

    assert told == ["é: \\ud800"] * 2 + ["later: \\udcff"] * 2
    assert "later" in str(copy.copy(error))
    assert str(pickle.loads(pickle.dumps(error))).encode()  # noqa: S301 - our own


def test_half_a_character_in_an_answer_is_told_in_ascii() -> None:
    error = errors.NotFound("no such thing", Answer("shop", 404, code="\ud800", request_id="\udcff", body="\udfff"))

    assert (error.code, error.request_id, error.body) == ("\\ud800", "\\udcff", "\\udfff")
    assert str(error).encode()


def _kinds(kind: type[AsyncConnError] = AsyncConnError) -> Iterator[type[AsyncConnError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("asyncconn."):
            yield one
            yield from _kinds(one)


ALL: set[type[AsyncConnError]] = {AsyncConnError, *_kinds()}
KINDS = sorted(ALL, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def made(kind: type[AsyncConnError]) -> AsyncConnError:
    """One with a value for everything that its constructor wants."""
    wanted = inspect.signature(kind).parameters.values()
    given = {
        one.name: SAMPLES.get(one.name, True)
        for one in wanted
        if one.kind is not one.VAR_KEYWORD and (one.default is one.empty or one.name in SAMPLES)
    }
    return kind(**given)


def pickled(error: Any) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own


WAYS: list[Callable[[Any], Any]] = [pickled, copy.copy, copy.deepcopy]


def same(one: AsyncConnError, other: AsyncConnError) -> bool:
    return (
        type(one) is type(other)
        and (str(one), repr(one), one.message, one.args) == (str(other), repr(other), other.message, other.args)
        and repr(vars(one)) == repr(vars(other))
    )


def test_all_of_them_are_looked_at() -> None:
    assert {"RateLimited", "SpoolDamaged", "RowRefused", "BulkFailed", "IncompatibleVersions"} <= {
        kind.__name__ for kind in KINDS
    }


@pytest.mark.parametrize("way", WAYS, ids=["pickle", "copy", "deepcopy"])
def test_every_error_comes_out_as_it_went_in(way: Callable[[Any], Any]) -> None:
    assert [error for error in map(made, KINDS) if not same(way(error), error)] == []


@pytest.mark.parametrize("way", WAYS, ids=["pickle", "copy", "deepcopy"])
def test_what_was_added_to_an_error_after_its_birth_comes_along(way: Callable[[Any], Any]) -> None:
    for error in map(made, KINDS):
        error.message = "what it came to"
        error.maybe_sent = True
        error.add_note("seen twice")
        error.__cause__ = OSError(5, "gone")
        found = way(error)

        assert same(found, error)
        assert found.__notes__ == ["seen twice"]
        assert repr(found.__cause__) == repr(error.__cause__)


def test_a_message_changed_later_is_said_everywhere() -> None:
    for error in map(made, KINDS):
        error.message = f"{error.message}, as stated"

        assert error.message == "it went wrong, as stated"
        assert "it went wrong, as stated" in str(error)
        assert "it went wrong, as stated" in repr(error)


class NeedsMore(Exception):
    """Pickles, and cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Named(RateLimited):
    """A user's own, with another constructor."""

    def __init__(self, shop: str, seconds: float) -> None:
        super().__init__(f"{shop} is busy", Answer("shop", 429, retry_after=seconds))
        self.shop = shop


def test_an_error_with_another_constructor_survives_too() -> None:
    error = Named("corner", 3.0)

    assert [same(way(error), error) for way in WAYS] == [True] * 3


def test_what_cannot_travel_arrives_as_its_text() -> None:
    for error in map(made, KINDS):
        vars(error)["strange"] = lambda: None
        error.__cause__ = NeedsMore("this", "that")
        found = pickled(error)

        assert found.strange.startswith("<function ")
        assert found.__notes__ == ["caused by NeedsMore: this and that"]
        assert (found.__cause__, str(found)) == (None, str(error))


def test_only_the_record_that_cannot_travel_arrives_as_its_text() -> None:
    error = DeliveryFailed("lost", records=[{"id": 1}, {"id": 2, "at": lambda: 3}], maybe_delivered=False)
    records = pickled(error).records

    assert records[0] == {"id": 1}
    assert isinstance(records[1], str)


def chain(length: int) -> AsyncConnError:
    error: AsyncConnError = ConfigError("the first")
    for number in range(length):
        above = ConfigError(f"above {number}")
        above.__cause__ = error
        error = above
    return error


def first_of(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error.args[0])


def test_a_chain_of_causes_is_pickled_once_and_not_once_more_for_each_of_them() -> None:
    assert len(pickle.dumps(chain(40))) < 40_000
    assert first_of(pickled(chain(40))) == "the first"


def test_a_chain_of_causes_does_not_grow_beyond_measure_where_dask_packs_them_too() -> None:
    support = pytest.importorskip("tblib.pickling_support", reason="it comes with Dask")
    support.install(ConfigError)
    try:
        assert len(pickle.dumps(chain(40))) < 400_000
        assert first_of(pickled(chain(40))) == "the first"
    finally:
        del copyreg.dispatch_table[ConfigError]


POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from asyncconn.errors import Answer, DeliveryFailed, QuotaExhausted, RateLimited

def fail(name):
    raise {
        "RateLimited": RateLimited("slow down", Answer("x", 429, retry_after=3.0)),
        "QuotaExhausted": QuotaExhausted("used up", resets_at=datetime(2030, 1, 1, tzinfo=UTC)),
        "DeliveryFailed": DeliveryFailed("lost", records=[lambda: 1], maybe_delivered=True),
    }[name]

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in ("RateLimited", "QuotaExhausted", "DeliveryFailed"):
            print(type(pool.submit(fail, name).exception()).__name__)
        print(pool.submit(abs, -1).result())
"""


def test_a_process_pool_hands_errors_over_and_works_on(tmp_path: Path) -> None:
    program = tmp_path / "pool.py"
    program.write_text(POOL)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=18, check=False)

    assert done.stdout.split() == ["RateLimited", "QuotaExhausted", "DeliveryFailed", "1"], done.stderr


@pytest.mark.parametrize(
    ("given", "kept"),
    [(3, 3.0), ("120", 120.0), ("soon", None), (float("nan"), None), (float("inf"), None), (-1, None), ([], None)],
)
def test_a_retry_after_that_is_no_time_is_none(given: Any, kept: float | None) -> None:
    error = errors.RateLimited("slow down", errors.Answer("x", 429, retry_after=given))

    assert error.retry_after == kept
    assert str(error)
