"""The file that a day's count lives on in."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from helpers import virtual

from asyncconn.core.files import FileLock
from asyncconn.core.rates import stores
from asyncconn.core.rates.limiter import Quota, RateLimiter
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

TODAY = "2030-01-02T00:00:00+00:00"
TOMORROW = "2030-01-03T00:00:00+00:00"


async def test_a_count_is_read_back_by_another_object(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    await FileQuotaStore(path).add("user", TODAY, 5)

    assert await FileQuotaStore(str(path)).add("user", TODAY, 2) == 7


async def test_a_negative_amount_gives_back_but_never_below_nothing(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("user", TODAY, 5)

    assert [await store.add("user", TODAY, -2), await store.add("user", TODAY, -9)] == [3, 0]


async def test_a_new_window_starts_from_nothing(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("user", TODAY, 5)

    assert await store.add("user", TOMORROW, 1) == 1


async def test_a_straggler_of_the_last_window_does_not_reset_the_new_one(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("user", TODAY, 5)
    await store.add("user", TOMORROW, 50)
    await store.add("user", TODAY, -3)

    assert await store.add("user", TOMORROW, 1) == 51


async def test_what_a_later_window_counted_counts_in_an_earlier_one_too_but_only_once(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("user", TOMORROW, 50)  # under a clock that was ahead, or this one is behind

    assert [await store.add("user", TODAY, 1) for _ in range(2)] == [51, 52]
    assert await store.add("user", TOMORROW, 1) == 51
    assert [await store.add("user", TODAY, 1) for _ in range(2)] == [54, 55]


async def test_a_window_far_ahead_does_not_weigh_on_every_day_until_then(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("user", "2031-07-01T00:00:00+00:00", 50)
    await store.add("user", TODAY, 1)

    assert await store.add("user", TOMORROW, 1) == 1


async def test_a_file_of_one_window_a_key_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    path.write_text(json.dumps({"user": {"window": TODAY, "used": 20}}))

    assert await FileQuotaStore(path).add("user", TODAY, 1) == 21


async def test_only_the_nearest_windows_are_kept(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    for day in range(1, 29):
        await store.add("user", f"2030-01-{day:02}T00:00:00+00:00", 1)

    assert len(json.loads((tmp_path / "quota.json").read_text())["user"]["others"]) == 3


async def test_keys_are_counted_apart(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await store.add("a", TODAY, 5)

    assert await store.add("b", TODAY, 1) == 1


async def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert await FileQuotaStore(tmp_path / "new" / "quota.json").add("user", TODAY, 1) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[1]", '{"user": 3}', '{"user": {"window": 1, "used": 2}}', '{"user": {"used": 2}}']
)
async def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "quota.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"quota.json is damaged.*delete it"):
        await FileQuotaStore(path).add("user", TODAY, 1)

    assert path.read_text() == text


async def test_a_file_that_is_no_text_is_damaged_too(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="damaged"):
        await FileQuotaStore(path).add("user", TODAY, 1)


async def test_a_read_only_folder_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:  # root may write into a read-only folder, so the refusal is made up
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(ConfigError, match=r"quota.json cannot be used: Permission denied"):
        await FileQuotaStore(tmp_path / "quota.json").add("user", TODAY, 1)


@pytest.mark.parametrize("place", ["/proc/quota.json", "/dev/null/quota.json"])
async def test_a_place_that_takes_no_files_is_a_config_error(place: str) -> None:
    with pytest.raises(ConfigError, match=r"quota.json cannot be used"):
        await FileQuotaStore(place).add("user", TODAY, 1)


async def test_a_folder_in_the_files_place_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "quota.json").mkdir()
    with pytest.raises(ConfigError, match=r"quota.json cannot be used"):
        await FileQuotaStore(tmp_path / "quota.json").add("user", TODAY, 1)


async def test_nothing_but_the_count_and_its_lock_is_left_in_the_folder(tmp_path: Path) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    await asyncio.gather(*[store.add("user", TODAY, 1) for _ in range(20)])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["quota.json", "quota.json.lock"]
    assert json.loads((tmp_path / "quota.json").read_text()) == {"user": {"window": TODAY, "used": 20}}


def test_two_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    code = (
        "import asyncio, sys\n"
        "from asyncconn.core.rates.stores import FileQuotaStore\n"
        "async def main():\n"
        "    for _ in range(50): await FileQuotaStore(sys.argv[1]).add('user', sys.argv[2], 1)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(path), TODAY]
    processes = [subprocess.Popen(command) for _ in range(2)]
    try:
        codes = [process.wait(timeout=15) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    assert codes == [0, 0]
    assert json.loads(path.read_text())["user"]["used"] == 100


@virtual
async def test_a_quota_survives_in_a_file(clock: VirtualClock, tmp_path: Path) -> None:
    path = tmp_path / "quota.json"
    for used in (10, 20, 30):
        limiter = RateLimiter(Quota(100, store=FileQuotaStore(path), chunk=8), name="user", clock=clock)
        for _ in range(10):
            async with limiter:
                pass
        await limiter.aclose()
        assert json.loads(path.read_text())["user/quota"]["used"] == used


async def test_a_file_that_another_process_holds_for_ever_is_waited_for_with_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quota.json"
    lock = FileLock(path)  # as one that was stopped
    assert await asyncio.to_thread(lock.take)
    monkeypatch.setattr(stores, "_PATIENCE", 0.02)
    with pytest.raises(ConfigError, match=r"was held by another process for 0.02 s \(see which"):
        await FileQuotaStore(path).add("user", TODAY, 5)

    monkeypatch.setattr(stores, "_PATIENCE", 10.0)
    adding = asyncio.create_task(FileQuotaStore(path).add("user", TODAY, 5))
    await asyncio.sleep(0.02)
    await asyncio.to_thread(lock.release)
    assert await adding == 5
