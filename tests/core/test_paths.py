"""A path that no file can have is refused where it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.paths import file_path
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.datorama.log import JobLog, read_log
from asyncconn.errors import ConfigError
from asyncconn.http.download import save
from asyncconn.panoply.sources.states import Saved, StateFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.mark.parametrize("path", ["a\0b", "\ud800", 5, None, b"bytes", object()])
@pytest.mark.parametrize("take", [Spool, FileQuotaStore, StateFile, JobLog, read_log])
def test_it_is_refused_whoever_is_given_it(take: Callable[[Any], Any], path: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be a path"):
        take(path)


async def test_a_download_refuses_it_before_a_chunk_is_asked_for() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        raise AssertionError("asked")
        yield b""

    with pytest.raises(ConfigError, match="cannot be a path"):
        await save(chunks(), "a\0b")  # type: ignore[arg-type] # as users do


def test_what_can_be_a_path_is_one(tmp_path: Path) -> None:
    assert file_path(str(tmp_path), "it") == tmp_path == file_path(tmp_path, "it")


DEEP = "[" * 100_000


async def test_a_quota_file_that_is_nested_without_end_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "quota.json").write_text(DEEP)
    with pytest.raises(ConfigError, match="damaged"):
        await FileQuotaStore(tmp_path / "quota.json").add("key", "2030-01-01", 1)


async def test_a_state_file_that_is_nested_without_end_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(DEEP)
    with pytest.raises(ConfigError, match="damaged"):
        await StateFile(tmp_path / "state.json").load()


async def test_changes_of_a_source_that_are_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match="not JSON"):
        await StateFile(tmp_path / "state.json").save(Saved({}, {"token": deep}))
