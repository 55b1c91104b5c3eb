"""The pages, and the files that they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from asyncconn.sandbox.control.operations import BASE

__all__ = ["FILES", "Page"]

_FOLDER = Path(__file__).parent / "page"


class Page(NamedTuple):
    """A file of ours, None for the page of the calls; to an entrance a link may lead from anywhere."""

    content_type: str
    file: Path | None
    is_entrance: bool = False


_HTML = "text/html; charset=utf-8"
#: By path.
FILES = {
    "/": Page(_HTML, _FOLDER / "index.html", is_entrance=True),
    BASE: Page(_HTML, None, is_entrance=True),
    f"{BASE}/": Page(_HTML, None, is_entrance=True),
    f"{BASE}/page/page.js": Page("text/javascript; charset=utf-8", _FOLDER / "page.js"),
    f"{BASE}/page/style.css": Page("text/css; charset=utf-8", _FOLDER / "style.css"),
    f"{BASE}/page/icon.svg": Page("image/svg+xml", _FOLDER / "icon.svg"),
}
