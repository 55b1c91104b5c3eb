"""The UI extension of a JAR: found, extracted whole, and refused without a trace."""

from __future__ import annotations

import asyncio
import random
import shutil
import stat
import tempfile
import threading
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncconn.atoti_limits.errors import UiExtensionError
from asyncconn.atoti_limits.offline import ui_extension
from asyncconn.atoti_limits.offline.ui_extension import Bounds, extract_ui_extension, extract_ui_extension_sync
from asyncconn.errors import ConfigError

from .archives import FLAT, JAVA, MANIFEST, SCRIPT, SPLIT, archive, crc, patched, renamed, under

NAME = "@atoti/limits-app-extension"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary directories are made here, so that what is left behind is seen."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the tests extract to."""
    directory = tmp_path / "place"
    directory.mkdir()
    return directory


def jar(place: Path, data: bytes | dict[str, str]) -> Path:
    path = place.parent / "limits.jar"
    path.write_bytes(data if isinstance(data, bytes) else archive(data))
    return path


def tree(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): p.read_text("utf-8") for p in directory.rglob("*") if p.is_file()}


def refused(place: Path, data: bytes | dict[str, str], says: str, **more: Any) -> None:
    """Refused, and nothing left, neither beside the target nor among temporary directories."""
    path = jar(place, data)
    for target in (place / "ui", None):
        with pytest.raises(UiExtensionError, match=says):
            extract_ui_extension_sync(path, target, **more)
        assert list(place.iterdir()) == []
        assert list(Path(tempfile.gettempdir()).iterdir()) == []


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


# -- names and kinds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["ui/", ""])
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("/bsolute", "an absolute name"),
        ("//share/x", "an absolute name"),
        ("C:/windows", "a drive letter"),
        ("c:file", "a drive letter"),
        ("a\\b", "a backslash"),
        ("a\0b", "a NUL"),
        ("../escape", "a way out of its directory"),
        ("a/../../b", "a way out of its directory"),
        ("a/..", "a way out of its directory"),
        ("../", "a way out of its directory"),
        ("a//b", "an empty part"),
        ("a//", "an empty part"),
        ("a/./b", "an empty part"),
    ],
)
def test_a_name_that_may_lead_elsewhere_is_refused_in_the_whole_archive(
    place: Path, where: str, bad: str, says: str
) -> None:
    """Also in the part that would not be extracted."""
    harmless = "x" * (len(bad) - 1) + ("/" if bad.endswith("/") else "x")
    data = renamed(archive(under(where, FLAT) | {harmless: ""}), harmless, bad)

    refused(place, data, f"has {says} in its name")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (stat.S_IFLNK, "ui/link"),
        (stat.S_IFCHR, "ui/link"),
        (stat.S_IFBLK, "ui/link"),
        (stat.S_IFIFO, "ui/link"),
        (stat.S_IFSOCK, "ui/link"),
        (stat.S_IFDIR, "ui/link"),
        (stat.S_IFLNK, "elsewhere"),
        (stat.S_IFLNK, "ui/link/"),
    ],
)
def test_links_and_devices_are_refused(place: Path, kind: int, name: str) -> None:
    data = archive(under("ui/", FLAT) | {name: "" if name.endswith("/") else "/etc/passwd"})

    refused(place, patched(data, name, attributes=(kind | 0o777) << 16), f"'{name}' is a link or another special file")


def test_a_plain_file_may_say_that_it_is_one(place: Path) -> None:
    data = patched(archive(FLAT), "manifest.json", attributes=(stat.S_IFREG | 0o4777) << 16)
    extract_ui_extension_sync(jar(place, data), place / "ui")

    assert stat.S_IMODE((place / "ui" / "manifest.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x40, 0x2000])
@pytest.mark.parametrize("name", ["ui/static/js/index.js", "elsewhere"])
def test_encrypted_entries_are_refused(place: Path, flags: int, name: str) -> None:
    data = archive(under("ui/", FLAT) | {"elsewhere": "x"})

    refused(place, patched(data, name, flags=flags), f"'{name}' is encrypted")


@pytest.mark.parametrize("method", [12, 14, 99])
def test_unusual_compression_is_refused(place: Path, method: int) -> None:
    refused(place, patched(archive(FLAT), "manifest.json", method=method), "compressed in a way that is not supported")


def test_a_name_that_is_there_twice_is_refused(place: Path) -> None:
    for root in ("", "ui/"):
        data = renamed(archive(under(root, FLAT) | {"elsewhere": "x", "elsewherf": "y"}), "elsewherf", "elsewhere")
        refused(place, data, "'elsewhere' is in the archive twice")


@pytest.mark.parametrize(
    "twin", ["Manifest.JSON", "STATIC/js/index.js", "\u017ftatic/js/index.js", "a\u0301", "stra\u00dfe"]
)
def test_names_that_some_file_system_takes_for_the_same_are_refused(place: Path, twin: str) -> None:
    files = under("ui/", FLAT | {"\u00e1": "", "strasse": ""})

    refused(place, files | {f"ui/{twin}": ""}, "may be the same file")
    refused(place, files | {f"UI/{twin}": ""}, "may be the same file")


def test_a_file_that_is_also_a_directory_is_refused(place: Path) -> None:
    refused(place, FLAT | {"Static": ""}, "'Static' is a file, and 'static/js/index.js' is inside it")
    refused(place, FLAT | {"static/js/index.js/more": ""}, "'static/js/index.js' is a file")


# -- sizes -------------------------------------------------------------------------------------------------------------

SMALL = Bounds(max_entries=5, max_file_bytes=2_000, max_total_bytes=5_000, max_ratio=10, ratio_from_bytes=1_000)
NOISE = random.Random(5).randbytes(2_100)  # hardly to be compressed


def holding(**files: bytes) -> bytes:
    return archive(dict(FLAT) | {f"{name}.bin": content for name, content in files.items()})


def test_an_archive_at_its_bounds_is_extracted(place: Path) -> None:
    sizes = sum(len(text) for text in FLAT.values())
    data = holding(a=NOISE[:2_000], b=b"x" * 1_000)
    bounds = Bounds(
        max_entries=5, max_file_bytes=2_000, max_total_bytes=sizes + 3_000, max_ratio=10, ratio_from_bytes=1_000
    )
    extract_ui_extension_sync(jar(place, data), place / "ui", bounds=bounds)

    assert len(list((place / "ui").rglob("*.bin"))) == 2


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a": b"", "b": b"", "c": b""}, "6 entries in the archive, and at most 5 allowed"),
        ({"a": NOISE[:2_001]}, r"'a.bin' is larger than 2000 bytes"),
        ({"a": b"x" * 1_001}, r"'a.bin' is more than 10 times as large as it is compressed"),
    ],
)
def test_too_much_is_refused(place: Path, files: dict[str, bytes], says: str) -> None:
    refused(place, holding(**files), says, bounds=SMALL)


def test_too_much_in_all_is_refused(place: Path) -> None:
    total = sum(len(text) for text in FLAT.values()) + 4_000
    data = holding(a=NOISE[:2_000], b=NOISE[100:2_100])

    refused(place, data, f"holds more than {total - 1} bytes", bounds=Bounds(max_total_bytes=total - 1))


def test_the_bounds_are_the_contract_s() -> None:
    megabyte = 1024 * 1024
    assert Bounds() == Bounds(
        max_entries=20_000,
        max_file_bytes=64 * megabyte,
        max_total_bytes=256 * megabyte,
        max_ratio=200,
        ratio_from_bytes=megabyte,
    )


def test_a_bomb_is_refused_by_what_it_claims(place: Path) -> None:
    refused(place, holding(bomb=bytes(2 * 1024 * 1024)), "^'bomb.bin' is more than 200 times as large")


@pytest.mark.parametrize("size", [2_001, 0xFFFFFFFF])
def test_also_what_would_not_be_extracted_may_not_claim_too_much(place: Path, size: int) -> None:
    data = patched(archive(under("ui/", FLAT) | {"elsewhere": "x"}), "elsewhere", size=size)

    refused(place, data, "'elsewhere' is larger than 2000 bytes", bounds=SMALL)


@pytest.mark.parametrize("claim", [10, 999])
def test_a_header_that_claims_less_is_found_out(place: Path, claim: int) -> None:
    content = b"x" * 50_000
    data = patched(holding(bomb=content), "bomb.bin", size=claim)
    loose = Bounds(max_file_bytes=60_000, max_ratio=10_000)

    refused(place, data, "^'bomb.bin' is larger than 2000 bytes", bounds=SMALL)
    refused(place, data, f"'bomb.bin' does not have the size that the archive claims: {claim} bytes", bounds=loose)
    # Not even when the checksum is that of the part which is claimed.
    refused(place, patched(data, "bomb.bin", crc=crc(content[:claim])), "'bomb.bin' is damaged", bounds=loose)


def test_a_header_that_claims_more_is_found_out(place: Path) -> None:
    data = patched(holding(bomb=b"x" * 500), "bomb.bin", size=501)

    refused(place, data, "'bomb.bin' does not have the size that the archive claims")


def test_what_really_comes_out_counts_for_the_ratio(place: Path) -> None:
    data = patched(holding(bomb=b"x" * 1_500), "bomb.bin", size=900)

    refused(place, data, "'bomb.bin' is more than 10 times as large", bounds=SMALL)


def test_no_more_than_what_is_allowed_is_inflated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, inflated = zipfile.ZipExtFile.read, Counter[str]()

    def counted(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        data = read(self, n)
        inflated[self.name] += len(data)
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    bounds = Bounds(max_file_bytes=1_000_000, max_ratio=100_000)
    bomb = holding(bomb=bytes(60_000_000))
    refused(place, patched(bomb, "bomb.bin", size=1_000_000), "larger than 1000000 bytes", bounds=bounds)
    refused(place, patched(bomb, "bomb.bin", size=10), "does not have the size", bounds=bounds)

    assert inflated["bomb.bin"] < 2 * 1_300_000 + 2 * 300_000


def test_a_compressed_size_that_is_not_real_is_found_out(place: Path) -> None:
    """A larger one would make the ratio look better."""
    data = holding(bomb=b"x" * 1_500)

    refused(place, patched(data, "bomb.bin", compressed=len(data)), "overlaps", bounds=SMALL)
    refused(
        place, patched(data, "extensionEntry.js", compressed=500), "'extensionEntry.js' overlaps what comes after it"
    )


def test_entries_that_share_their_bytes_are_refused(place: Path) -> None:
    data = patched(holding(a=b"x" * 500, b=b"x" * 500), "b.bin", offset=0)

    refused(place, data, "overlaps what comes after it")


@pytest.mark.parametrize("name", ["manifest.json", "static/js/index.js"])
def test_a_wrong_checksum_is_refused(place: Path, name: str) -> None:
    refused(place, patched(archive(FLAT), name, crc=7), f"'{name}' is damaged: Bad CRC-32")


def test_a_damaged_file_is_refused(place: Path) -> None:
    data = archive(FLAT)
    at = data.index(b"static/js/index.js") + len("static/js/index.js")

    refused(place, data[:at] + b"\xff" * 10 + data[at + 10 :], "'static/js/index.js' is damaged")


@pytest.mark.parametrize("data", [b"", b"PK", b"not an archive at all", archive(FLAT)[:-30], archive(FLAT)[60:]])
def test_what_is_no_archive_is_refused(place: Path, data: bytes) -> None:
    refused(place, data, "cannot be read as an archive|damaged|overlaps")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3))
def test_whatever_is_damaged_it_is_extracted_whole_or_refused(tmp_path: Path, damage: list[tuple[int, bytes]]) -> None:
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    data = bytearray(archive(under("ui/", FLAT) | JAVA))
    for at, what in damage:
        data[at % len(data) : at % len(data) + len(what)] = what
    path = jar(place, bytes(data))
    try:
        extension = extract_ui_extension_sync(path)
    except UiExtensionError:
        pass
    else:
        assert (extension.directory / extension.entry).is_file()
        assert set(tree(extension.directory).values()) <= {MANIFEST, SCRIPT, *JAVA.values()}
        shutil.rmtree(extension.directory)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


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
