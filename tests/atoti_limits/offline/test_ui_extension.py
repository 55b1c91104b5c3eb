"""The UI extension of a JAR: found, extracted whole or not at all, and told where Limits is."""

from __future__ import annotations

import asyncio
import random
import shutil
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from asyncconn.atoti_limits.errors import UiExtensionError
from asyncconn.atoti_limits.offline import ui_extension
from asyncconn.atoti_limits.offline.ui_extension import extract_ui_extension, extract_ui_extension_sync
from asyncconn.errors import ConfigError

from .archives import FLAT, JAVA, MANIFEST, SCRIPT, SPLIT, archive, jar, patched, refused, tree, under

pytestmark = pytest.mark.usefixtures("temporary")

NAME = "@atoti/limits-app-extension"


# -- extracting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["", "static/", "META-INF/atoti/ui/"])
@pytest.mark.parametrize(("layout", "files"), [("flat", FLAT), ("split", SPLIT)])
async def test_an_extension_is_found_wherever_it_is(place: Path, root: str, layout: str, files: dict[str, str]) -> None:
    extension = await extract_ui_extension(jar(place, under(root, files) | ({} if root == "" else JAVA)), place / "ui")

    assert (extension.name, extension.entry, extension.layout) == (NAME, "extensionEntry.js", layout)
    assert extension.directory == place / "ui"
    assert tree(place / "ui") == files
    assert [path.name for path in place.iterdir()] == ["ui"]


def test_without_a_target_it_is_a_new_temporary_directory(place: Path, temporary: Path) -> None:
    first, second = (extract_ui_extension_sync(jar(place, FLAT)) for _ in range(2))

    assert first.directory.parent == second.directory.parent == temporary
    assert first.directory != second.directory
    assert tree(second.directory) == FLAT


def test_nobody_else_may_look_into_it(place: Path) -> None:
    for target in (place / "ui", None):
        directory = extract_ui_extension_sync(jar(place, FLAT), target).directory
        modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.rglob("*") if path.is_file()}

        assert modes == {0o600}
        assert {stat.S_IMODE(p.stat().st_mode) for p in (directory, directory / "static" / "js")} == {0o700}


def test_an_empty_target_is_used(place: Path) -> None:
    (place / "ui").mkdir()

    assert tree(extract_ui_extension_sync(str(jar(place, FLAT)), str(place / "ui")).directory) == FLAT


def test_entries_of_directories_and_of_the_java_part_are_not_extracted(place: Path) -> None:
    files = {"ui/": "", "ui/empty/": ""} | under("ui/", FLAT) | {"uix": "x", "ui.js": "x", "UIX/y": "x"} | JAVA
    extract_ui_extension_sync(jar(place, files), place / "ui")

    assert tree(place / "ui") == FLAT


# -- finding -----------------------------------------------------------------------------------------------------------


OTHER = MANIFEST.replace("limits-app", "other-app")
LONG = f'{MANIFEST[:-1]}, "noise": "{random.Random(6).randbytes(550_000).hex()}"}}'


@pytest.mark.parametrize(
    ("files", "prefix", "found"),
    [
        ({"manifest.json": '{"name": "web app"}'} | under("ui/", FLAT), None, FLAT),
        ({"manifest.json": "no JSON"} | under("ui/", FLAT), None, FLAT),
        ({"manifest.json": "[" * 100_000} | under("ui/", FLAT), None, FLAT),
        (
            {"manifest.json": "[1]", "x/manifest.json": OTHER.replace("Entry.js", "Else.js")} | under("ui/", FLAT),
            None,
            FLAT,
        ),
        ({"manifest.json": LONG, "extensionEntry.js": ""} | under("ui/", FLAT), None, FLAT),
        (under("other/", FLAT | {"manifest.json": OTHER}) | under("ui/", FLAT), None, FLAT),
        (under("a/", FLAT) | under("b/", SPLIT), "b", SPLIT),
        (under("a/", FLAT) | under("b/", SPLIT), "b/", SPLIT),
        (under("a/", FLAT) | SPLIT, "", SPLIT | under("a/", FLAT)),
        (under("b/", SPLIT), "b/development", {"manifest.json": MANIFEST, "extensionEntry.js": SCRIPT}),
    ],
)
def test_the_right_one_of_several_manifests_is_found(
    place: Path, files: dict[str, str], prefix: str | None, found: dict[str, str]
) -> None:
    extension = extract_ui_extension_sync(jar(place, files), place / "ui", prefix=prefix)

    assert extension.name == NAME
    assert tree(place / "ui") == found


def test_one_build_of_two_is_enough_for_a_split_layout(place: Path) -> None:
    extension = extract_ui_extension_sync(jar(place, under("production/", FLAT)), place / "ui")

    assert extension.layout == "split"
    assert tree(place / "ui") == under("production/", FLAT)


@pytest.mark.parametrize(
    ("files", "prefix", "says"),
    [
        (JAVA, None, "no UI extension in limits.jar: no manifest"),
        ({}, None, "no UI extension"),
        ({"manifest.json": MANIFEST}, None, "no UI extension"),
        (FLAT | {"manifest.json": '["name", "entry"]'}, None, "no UI extension"),
        (FLAT | {"manifest.json": '{"name": "", "entry": "extensionEntry.js"}'}, None, "no UI extension"),
        (FLAT | {"manifest.json": '{"name": 7, "entry": "extensionEntry.js"}'}, None, "no UI extension"),
        (FLAT | {"manifest.json": '{"name": "limits", "entry": 7}'}, None, "no UI extension"),
        (FLAT | {"manifest.json": '{"name": "limits", "entry": "../extensionEntry.js"}'}, None, "no UI extension"),
        (under("ui/", FLAT), "other", "no UI extension in limits.jar at 'other'"),
        (under("ui/", FLAT), "u", "no UI extension in limits.jar at 'u'"),
        (under("ui/", FLAT), "", "no UI extension in limits.jar at ''"),
        (under("a/", FLAT) | under("b/", FLAT), None, "several UI extensions in limits.jar, say which"),
        (
            under("a/", FLAT | {"manifest.json": OTHER})
            | under("b/", FLAT | {"manifest.json": OTHER.replace("oth", "an")}),
            None,
            "several UI extensions",
        ),
        (SPLIT | {"production/manifest.json": OTHER}, None, "the builds of the extension at '' differ"),
        (SPLIT | FLAT, None, "the builds of the extension at '' differ"),
    ],
)
def test_none_or_several_extensions_are_refused(
    place: Path, files: dict[str, str], prefix: str | None, says: str
) -> None:
    refused(place, files, says, prefix=prefix)


# -- the target --------------------------------------------------------------------------------------------------------


def test_a_target_that_is_in_use_is_refused_and_left_as_it_was(place: Path) -> None:
    (place / "ui").mkdir()
    (place / "ui" / "mine").write_text("x")
    (place / "file").write_text("y")
    (place / "link").symlink_to(place / "nowhere")
    for name in ("ui", "file", "link"):
        with pytest.raises(UiExtensionError, match=f"{name} is there already"):
            extract_ui_extension_sync(jar(place, FLAT), place / name)

    assert sorted(path.name for path in place.iterdir()) == ["file", "link", "ui"]
    assert tree(place) == {"ui/mine": "x", "file": "y"}


def test_a_target_without_a_parent_is_refused(place: Path) -> None:
    with pytest.raises(UiExtensionError, match="no is not a directory"):
        extract_ui_extension_sync(jar(place, FLAT), place / "no" / "ui")

    assert list(place.iterdir()) == []


def test_a_target_that_is_taken_meanwhile_is_left_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = ui_extension._write

    def write_late(directory: Path, name: str, data: bytes) -> None:
        (place / "ui").mkdir(exist_ok=True)
        (place / "ui" / "theirs").touch()
        write(directory, name, data)

    monkeypatch.setattr(ui_extension, "_write", write_late)
    with pytest.raises(UiExtensionError, match="cannot be written"):
        extract_ui_extension_sync(jar(place, FLAT), place / "ui")

    assert tree(place) == {"ui/theirs": ""}


@pytest.mark.parametrize("target", ["ui", None])
def test_a_full_disk_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch, target: str | None) -> None:
    write = ui_extension._write

    def full(directory: Path, name: str, data: bytes) -> None:
        write(directory, name, data)
        if name == "static/js/index.js":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(ui_extension, "_write", full)
    with pytest.raises(UiExtensionError, match="No space left") as caught:
        extract_ui_extension_sync(jar(place, FLAT), target and place / target)

    assert isinstance(caught.value.__cause__, OSError)
    assert [*place.iterdir(), *Path(tempfile.gettempdir()).iterdir()] == []


def test_until_it_is_complete_the_target_is_not_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, seen = ui_extension._write, []

    def watched(directory: Path, name: str, data: bytes) -> None:
        write(directory, name, data)
        seen.append((place / "ui").exists())

    monkeypatch.setattr(ui_extension, "_write", watched)
    extract_ui_extension_sync(jar(place, FLAT), place / "ui")

    assert seen == [False] * len(FLAT)


def test_nothing_is_written_before_all_of_it_is_checked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(ui_extension, "_write", lambda directory, name, data: written.append(name))
    refused(place, patched(archive(FLAT), "static/js/index.js", crc=7), "damaged")

    assert written == []


@pytest.mark.parametrize("path", ["missing.jar", "place"])
def test_a_jar_that_is_no_file_is_refused(place: Path, path: str) -> None:
    with pytest.raises(UiExtensionError, match=f"{path} is not a file"):
        extract_ui_extension_sync(place.parent / path, place / "ui")


# -- the Limits server's URL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://localhost:3090", "https://limits.example/base/", "http://[::1]:3090"])
def test_the_url_of_limits_is_filled_in(place: Path, url: str) -> None:
    files = SPLIT | {"production/readme.txt": SCRIPT, "production/plain.js": "plain"}
    extension = extract_ui_extension_sync(jar(place, files), place / "ui", limits_url=url, generation=3)
    found = tree(place / "ui")

    assert extension.replaced == 3
    assert found == {
        name: text.replace("_LIMITS_SERVER_URL", url) if name.endswith(".js") else text for name, text in files.items()
    }


def test_scripts_keep_every_other_byte(place: Path) -> None:
    files: dict[str, str | bytes] = dict(FLAT)
    files["odd.js"] = b"\xff\xfe_LIMITS_SERVER_URL\r\n\xc3\xa9"
    extract_ui_extension_sync(jar(place, archive(files)), place / "ui", limits_url="http://h")

    assert (place / "ui" / "odd.js").read_bytes() == b"\xff\xfehttp://h\r\n\xc3\xa9"


@pytest.mark.parametrize("generation", [None, 2])
def test_a_placeholder_that_is_absent_does_not_matter_before_the_third_generation(
    place: Path, generation: int | None
) -> None:
    files = {name: text.replace("_LIMITS_SERVER_URL", "") for name, text in FLAT.items()}
    path = jar(place, files)

    assert extract_ui_extension_sync(path, limits_url="http://h", generation=generation).replaced == 0
    assert extract_ui_extension_sync(path, generation=3).replaced == 0
    for directory in Path(tempfile.gettempdir()).iterdir():
        shutil.rmtree(directory)
    refused(place, files, "has the placeholder _LIMITS_SERVER_URL", limits_url="http://h", generation=3)


@pytest.mark.parametrize(
    "url",
    [
        'http://h/"', "http://h/'", "http://h/`", "http://h/\\", "http://h/<", "http://h/>", "http://h/\n",
        "http://h/ ", "http://h/\u2028", "http://h/\x7f", "http://h/${x}", "ftp://h", "javascript:alert(1)", "h", "", "http://",
        "http://u:p@h/", "http://h/?a", "http://h/#a", 7,
    ],
)  # fmt: skip
async def test_a_url_that_is_not_safe_inside_a_script_is_refused(place: Path, url: Any) -> None:
    with pytest.raises(ConfigError, match="limits_url"):
        await extract_ui_extension(jar(place, FLAT), place / "ui", limits_url=url)

    assert list(place.iterdir()) == []


@pytest.mark.parametrize("generation", [0, 1, 4])
def test_there_is_no_extension_of_another_generation(place: Path, generation: int) -> None:
    with pytest.raises(ConfigError, match="2 or 3"):
        extract_ui_extension_sync(jar(place, FLAT), generation=generation)


# -- off the loop ------------------------------------------------------------------------------------------------------


async def test_the_work_is_done_in_a_thread(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, threads = ui_extension._write, set()

    def watched(directory: Path, name: str, data: bytes) -> None:
        threads.add(threading.current_thread())
        write(directory, name, data)

    monkeypatch.setattr(ui_extension, "_write", watched)
    await extract_ui_extension(jar(place, FLAT), place / "ui")

    assert threading.current_thread() not in threads
    assert len(threads) == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelling_stops_the_thread_and_leaves_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    write = ui_extension._write

    def held(directory: Path, name: str, data: bytes) -> None:
        write(directory, name, data)
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(10)

    monkeypatch.setattr(ui_extension, "_write", held)
    task = asyncio.create_task(extract_ui_extension(jar(place, FLAT), place / "ui"))
    await begun.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert task.done() is (times == 2)  # asked once it waits for the thread, asked again it does not
    go.set()
    await asyncio.wait({task})
    assert times == 2 or list(place.iterdir()) == []
    await loop.shutdown_default_executor()

    assert task.cancelled()
    assert list(place.iterdir()) == []
