"""The site: built without a remark, with every public name in its reference, and no link in it that leads nowhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zlib
from html import unescape
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag

import pytest

from asyncconn import AtotiLimits, Datorama, Hub, Tcup

ROOT = Path(__file__).parents[2]
FACES = [
    "asyncconn",
    *(f"asyncconn.{face}" for face in ("panoply", "datorama", "atoti_limits", "tcup", "errors", "sandbox", "testing")),
    *(f"asyncconn.{platform}.errors" for platform in ("panoply", "datorama", "atoti_limits", "tcup")),
    "asyncconn.integrations.asgi",
    "asyncconn.integrations.fastapi",
    "asyncconn.integrations.redis",
]

_HREF = re.compile(r'href="([^"]+)"')
_ID = re.compile(r'\bid="([^"]+)"')

pytestmark = [
    pytest.mark.slow(900),  # all that is public is imported and laid out, on a busy machine
    pytest.mark.xdist_group("site"),  # built once
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="Sphinx is of the group docs")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "docs", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=880, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return target


def described(site: Path) -> set[str]:
    """The Python names of the site's inventory: four lines in plain text, then a line each, compressed."""
    lines = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def names_of(face: str) -> dict[str, object]:
    """What a face shows, by its full name; modules are faces of their own, ``__version__`` is no thing to describe."""
    module = importlib.import_module(face)
    shown = {f"{face}.{name}": getattr(module, name) for name in module.__all__ if name != "__version__"}
    return {name: thing for name, thing in shown.items() if not isinstance(thing, ModuleType)}


def missing(found: set[str], public: dict[str, object]) -> list[str]:
    """The public names that are described neither by themselves nor by another public name of the same thing."""
    there = {id(thing) for name, thing in public.items() if name in found}
    return sorted(name for name, thing in public.items() if id(thing) not in there)


def dead_links(site: Path) -> list[str]:
    """Links of the pages to files or places that are not there."""
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    places = {page: {unescape(place) for place in _ID.findall(text)} for page, text in pages.items()}
    dead = []
    for page, text in pages.items():
        for link in {unescape(link) for link in _HREF.findall(text)}:
            file, place = urldefrag(link)
            if re.match(r"[a-z]+:", file) or link == "#":
                continue
            name = unquote(file.partition("?")[0])  # after it comes a digest of the file
            target = (page.parent / name).resolve() if name else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (place and target in places and unquote(place) not in places[target]):
                dead.append(f"{page.relative_to(site)}: {link}")
    return sorted(dead)


def test_every_public_name_stands_in_the_reference(site: Path) -> None:
    public = {name: thing for face in FACES for name, thing in names_of(face).items()}

    assert len(public) > 300
    assert missing(described(site), public) == []


def test_every_noun_of_a_client_stands_in_the_reference(site: Path) -> None:
    hub = Hub()
    limits = AtotiLimits("http://a.example", limits_url="http://b.example", auth=("ann", "made-up"), hub=hub)
    clients = [Datorama("made-up", hub=hub), Tcup("https://c.example", "0" * 64, hub=hub), limits]
    kinds = {type(noun) for client in clients for name, noun in vars(client).items() if not name.startswith("_")}
    nouns = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if ".resources." in kind.__module__}

    assert len(nouns) > 20
    assert sorted(nouns - described(site)) == []


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    assert dead_links(site) == []


def test_the_site_can_be_searched_and_is_dark_where_the_reader_wants_it(site: Path) -> None:
    assert (site / "searchindex.js").stat().st_size > 10_000
    assert "prefers-color-scheme: dark" in (site / "index.html").read_text(encoding="utf-8")


# -- the checks themselves ---------------------------------------------------------------------------------------------


def test_a_name_that_is_not_described_is_found() -> None:
    thing, other = object(), object()

    assert missing({"a.x"}, {"a.x": thing, "b.x": thing, "a.y": other}) == ["a.y"]


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = (
        '<p id="here"><a href="#here"></a><a href="#no"></a><a href="b.html"></a><a href="https://x.example"></a></p>'
    )
    (tmp_path / "a.html").write_text(page)

    assert dead_links(tmp_path) == ["a.html: #no", "a.html: b.html"]
