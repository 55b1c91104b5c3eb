"""Errors of sources in the platform's terms."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

import asyncconn.panoply as panoply
from asyncconn.panoply import DataSource, PanoplyException, Phase, set_internal_code, wrap_errors
from asyncconn.panoply.errors import (
    DataSourceException,
    IncorrectParamError,
    NotAnException,
    ReadFailed,
    normalisation,
)

PARAMS = {"type": "demo", "id": "s1", "database": "db1"}


class Missing(Exception):
    pass


class ReallyMissing(Missing):
    pass


class Odd(Missing):
    pass


@pytest.fixture(autouse=True)
def _codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalisation, "_codes", {Missing: 404, Odd: 999})


class Source(DataSource):
    async def read(self, n: int | None = None) -> Any: ...

    @wrap_errors(Phase.COLLECT)
    def fail(self, error: BaseException) -> None:
        """Fail."""
        raise error

    @wrap_errors("config")
    async def fail_later(self, error: BaseException) -> None:
        """Fail after a while."""
        await asyncio.sleep(0)
        raise error

    @classmethod
    @wrap_errors(Phase.CONFIG)
    def list_resources(cls, source: Any, options: Any = None) -> Any:
        raise Missing("no such account")


@wrap_errors(Phase.CONFIG)
def dynamic(source: Any, options: Any = None) -> None:
    raise Missing("no such account")


def _of(error: DataSourceException) -> tuple[Any, Any, Any]:
    return error.source_type, error.source_id, error.database_id


def test_an_error_of_a_method_becomes_the_platform_s_with_everything_it_asks_for() -> None:
    failure = Missing("no such form")
    before = datetime.now(UTC)
    with pytest.raises(DataSourceException) as caught:
        Source(dict(PARAMS)).fail(failure)
    error = caught.value

    assert (str(error), error.code, error.phase) == ("no such form", 404, "collect")
    assert error.exception_cls == f"{__name__}.Missing"
    assert _of(error) == ("demo", "s1", "db1")
    assert error.__cause__ is failure
    assert error.retryable
    assert before <= error.created_at <= datetime.now(UTC)


async def test_an_asynchronous_function_is_wrapped_too() -> None:
    with pytest.raises(DataSourceException) as caught:
        await Source(dict(PARAMS)).fail_later(Missing("x"))

    assert (caught.value.code, caught.value.phase, _of(caught.value)) == (404, Phase.CONFIG, ("demo", "s1", "db1"))


@pytest.mark.parametrize(
    ("error", "code"),
    [(Missing(), 404), (ReallyMissing(), 404), (KeyError("x"), 501), (Odd(), 506)],
    ids=["its own", "its base's", "none", "unknown to the platform"],
)
def test_the_code_is_that_of_the_nearest_class_that_has_one(error: Exception, code: int) -> None:
    with pytest.raises(DataSourceException) as caught:
        Source({}).fail(error)

    assert caught.value.code == code


@pytest.mark.parametrize("retryable", [True, False])
def test_what_an_error_says_about_retrying_is_kept(retryable: bool) -> None:
    with pytest.raises(DataSourceException) as caught:
        Source({}).fail(PanoplyException("x", retryable=retryable))

    assert caught.value.retryable is retryable


def test_an_error_that_is_the_platform_s_already_gets_the_phase_and_passes() -> None:
    error = DataSourceException("m", 408, "a.B", "config", "t", "i", "d", retryable=False)
    with pytest.raises(DataSourceException) as caught:
        Source({}).fail(error)

    assert caught.value is error
    assert (error.phase, error.code, error.source_type, error.retryable) == ("collect", 408, "t", False)


class Hostile(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        raise OSError("gone")


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        ((PARAMS,), {}, ("demo", "s1", "db1")),
        ((), {"source": PARAMS}, ("demo", "s1", "db1")),
        ((Source(dict(PARAMS)),), {"options": {"id": "not this"}}, ("demo", "s1", "db1")),
        (({"type": "demo"},), {}, ("demo", None, None)),
        (({},), {}, (None, None, None)),
        ((7,), {}, (None, None, None)),
        ((Hostile(),), {}, (None, None, None)),
    ],
    ids=["a dict", "a keyword", "a source", "without id", "empty", "a number", "hostile"],
)
def test_the_source_is_found_where_it_is_and_a_missing_one_hides_nothing(args: Any, kwargs: Any, found: Any) -> None:
    with pytest.raises(DataSourceException, match="no such account") as caught:
        dynamic(*args, **kwargs)

    assert _of(caught.value) == found


def test_of_a_class_method_the_source_is_the_argument_after_the_class() -> None:
    with pytest.raises(DataSourceException) as caught:
        Source.list_resources(PARAMS)

    assert _of(caught.value) == ("demo", "s1", "db1")


def test_an_error_that_cannot_be_shown_is_still_told() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError

    with pytest.raises(DataSourceException, match="Broken, whose text raised ValueError"):
        Source({}).fail(Broken())


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1)])
async def test_what_is_no_exception_of_the_source_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Source({}).fail(error)
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await Source({}).fail_later(error)


def test_a_wrapped_function_keeps_its_name_its_documentation_and_its_kind() -> None:
    assert (Source.fail.__name__, Source.fail.__doc__) == ("fail", "Fail.")
    assert inspect.iscoroutinefunction(Source.fail_later)
    assert not inspect.iscoroutinefunction(Source.fail)


def test_a_class_gets_its_code_and_stays_itself() -> None:
    @set_internal_code(429)
    class TooMany(Exception):
        pass

    with pytest.raises(DataSourceException) as caught:
        Source({}).fail(TooMany())
    assert caught.value.code == 429


@pytest.mark.parametrize("what", [int, "Missing", Missing("x"), KeyboardInterrupt])
def test_only_exception_classes_have_codes(what: Any) -> None:
    with pytest.raises(NotAnException, match=r"^Unable to set error code for non-Exception class") as caught:
        set_internal_code(404)(what)

    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("phase", ["reading", None, dynamic])
def test_a_phase_that_does_not_exist_is_refused_at_decoration(phase: Any) -> None:
    with pytest.raises(IncorrectParamError, match="one of collect, config"):
        wrap_errors(phase)


def test_phases_are_texts() -> None:
    assert [f"{phase}" for phase in Phase] == ["collect", "config"]


def test_the_original_s_names_are_where_sources_look_for_them() -> None:
    assert panoply.errors.wrap_errors is panoply.wrap_errors is wrap_errors
    assert panoply.errors.set_internal_code is set_internal_code
    assert panoply.errors.Phase is Phase
    assert panoply.errors.PanoplyException is panoply.PanoplyException
    assert panoply.errors.TokenValidationException is panoply.TokenValidationException


def test_the_public_names_of_the_package_and_its_errors_are_all_there() -> None:
    for module in (panoply, panoply.errors):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name)
    assert issubclass(ReadFailed, panoply.errors.SourceError)
