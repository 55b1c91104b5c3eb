"""The wheel, installed elsewhere without extras: it works, and whatever an extra brings is missed by its name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("without_extras.py")
CLEAR = r"(is not installed|needs [\w-]+): pip install 'asyncconn\[[a-z]+\]'$"
WORKS = ["", "it works"]  # as some integrations do without any library
NO_ERROR = {"all", "speed"}  # all the others; and what only makes things faster

pytestmark = pytest.mark.slow(90)  # builds, and starts programs


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def about(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def _required(lines: list[str]) -> set[str]:
    """What they name, and what that needs, and so on: without any extra."""
    found: set[str] = set()
    left = [(line, frozenset[str]()) for line in lines]
    while left:
        line, extras = left.pop()
        one = Requirement(line)
        if one.marker is not None and not any(one.marker.evaluate({"extra": extra}) for extra in extras or [""]):
            continue
        if one.name not in found:
            found.add(one.name)
            left += [(more, frozenset(one.extras)) for more in metadata.requires(one.name) or ()]
    return found


@pytest.fixture(scope="module")
def bare(wheel: Path, about: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of its own. What the wheel requires is lent by the one that the tests run in."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    where = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", where))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # a wheel of pure Python is installed where it is unpacked
    for name in _required(about.get_all("Requires-Dist")):
        library = metadata.distribution(name)
        for top in {file.parts[0] for file in library.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(library.locate_file(top))))
    return next(Path(sysconfig.get_path("scripts", "venv", where)).glob("python*"))


@pytest.fixture(scope="module")
def found(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("features")
    command = [str(bare), "-I", "-W", "error", str(PROGRAM), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wheel_works_without_any_extra(found: Any, bare: Path) -> None:
    assert Path(found["where"]).is_relative_to(bare.parents[1])  # not this checkout
    assert found["lacking"] == []
    assert found["delivered"] == 1


def test_each_missing_extra_is_named_by_a_clear_error(found: Any, about: Any) -> None:
    wanting = {name: said for name, said in found["said"].items() if said != WORKS or "integrations" not in name}
    assert {name: said for name, said in wanting.items() if not re.search(CLEAR, said[1])} == {}
    named = {extra for _, words in found["said"].values() for extra in re.findall(r"asyncconn\[([a-z]+)\]", words)}
    assert named == set(about.get_all("Provides-Extra")) - NO_ERROR


def test_the_wheel_has_the_data_of_the_demonstration_and_the_mark_of_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "asyncconn/py.typed" in names
    assert "asyncconn/data/seattle-weather.csv" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))]
