"""The Atoti Limits commands that need no server."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from cli.commands import run

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = {"name": "@atoti/limits-app-extension", "version": "0.0.0", "entry": "extensionEntry.js"}


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "extension.jar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ui/manifest.json", json.dumps(MANIFEST))
        archive.writestr("ui/extensionEntry.js", 'const url = "_LIMITS_SERVER_URL";')
    return path


def test_the_extension_is_extracted_and_its_use_is_shown(tmp_path: Path, jar: Path) -> None:
    ended = run(tmp_path, "limits", "extract-ui", jar.name, "ui", "--limits-url", "http://limits.example:3090")

    assert (ended.status, ended.err) == (0, ""), ended.text
    assert "http://limits.example:3090 filled in in 1 script" in ended.out
    assert "app_extensions={'@atoti/limits-app-extension': 'ui'}" in ended.out
    assert (tmp_path / "ui" / "extensionEntry.js").read_text() == 'const url = "http://limits.example:3090";'


def test_a_dry_run_extracts_nothing(tmp_path: Path, jar: Path) -> None:
    ended = run(tmp_path, "limits", "extract-ui", jar.name, "ui", "--dry-run")

    assert ended.status == 0, ended.text
    assert ended.out.rstrip().endswith("would be extracted to ui; nothing was written there")
    assert not (tmp_path / "ui").exists()


def test_an_archive_that_writes_elsewhere_is_refused(tmp_path: Path, jar: Path) -> None:
    with zipfile.ZipFile(jar, "a") as archive:
        archive.writestr("ui/../../evil.js", "x")

    ended = run(tmp_path, "limits", "extract-ui", jar.name, "ui")

    assert (ended.status, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["extension.jar"]


@pytest.mark.parametrize(
    ("args", "verdict", "status"),
    [
        (["--limits", "4.2.1", "--atoti-python", "0.9.12", "--java", "21"], "compatible", 0),
        (["--limits", "4.2.1", "--atoti-python", "0.9.12", "--java", "25"], "incompatible", 1),
        (["--limits", "2.0.0", "--plugin", "0.7.4", "--atoti-python", "0.8.0"], "incompatible", 1),
        (["--limits", "6.1.20", "--atoti-python", "0.9.12"], "unknown", 0),
        (["--limits", "6.1.20", "--atoti-python", "0.9.12", "--strict"], "incompatible", 1),
    ],
)
def test_versions_are_judged_without_a_server(tmp_path: Path, args: list[str], verdict: str, status: int) -> None:
    ended = run(tmp_path, "limits", "compat", *args, "--format", "json")

    assert ended.status == status, ended.text
    found = {row["what"]: row["found"] for row in json.loads(ended.out)}
    assert found["verdict"] == verdict


def test_without_versions_the_documented_combinations_are_listed(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "compat", "--format", "csv")

    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("generation,limits,plugin,")
    assert "2,4.2.1,,0.9.12,,>=21,>=3.10,v2" in lines


def test_what_is_no_version_is_bad_input(tmp_path: Path) -> None:
    ended = run(tmp_path, "limits", "compat", "--limits", "new")

    assert ended.status == 2
    assert ended.err.startswith("error: limits: 'new' is not a version")
