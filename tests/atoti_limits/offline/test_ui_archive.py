"""Archives that nobody should make: names that lead elsewhere, kinds, sizes that lie, and damage."""

from __future__ import annotations

import random
import shutil
import stat
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncconn.atoti_limits.errors import UiExtensionError
from asyncconn.atoti_limits.offline.ui_extension import Bounds, extract_ui_extension_sync

from .archives import FLAT, JAVA, MANIFEST, SCRIPT, archive, crc, jar, patched, refused, renamed, tree, under

pytestmark = pytest.mark.usefixtures("temporary")

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
