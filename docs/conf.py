"""How the pages beside this file, and the docstrings of the package, become a site: `make docs`."""

from typing import Any, Generic, get_origin

from docutils import nodes

# All models first: autodoc writes on pydantic's BaseModel, which then makes no more.
import asyncconn
import asyncconn.atoti_limits
import asyncconn.datorama
import asyncconn.integrations.fastapi
import asyncconn.panoply
import asyncconn.sandbox
import asyncconn.tcup
import asyncconn.testing

project = "asyncconn"
author = "The asyncconn authors"
release = version = asyncconn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"  # light and dark, as the reader's system is or as they choose
html_title = f"asyncconn {release}"
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_heading_anchors = 6  # as GitHub makes them, so that a link works there and here

# Some annotations have the name of several things (`bytes` is a field, too); the text is right, and bears no link.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    "undoc-members": True,  # fields of models and dataclasses say what they are by name and type
    "show-inheritance": True,
    # A class shows what it inherits up to one of these, which stand for themselves or are not ours.
    "inherited-members": "Connector, Resource, ApiError, AsyncConnError, BaseModel, BaseException, Enum, object, str",
}

_FACES = (asyncconn, asyncconn.errors, asyncconn.atoti_limits, asyncconn.datorama, asyncconn.panoply, asyncconn.tcup)


def _is_public(base: Any) -> bool:
    kind = get_origin(base) or base
    if kind in (object, Generic):
        return False
    return not kind.__module__.startswith("asyncconn.") or any(
        getattr(face, kind.__name__, None) is kind for face in _FACES
    )


def _keep_public(app: Any, name: str, kind: Any, options: Any, bases: list[Any]) -> None:
    """What a class inherits from is told where a reader can look it up."""
    bases[:] = filter(_is_public, bases)


def _without_empty(app: Any, page: nodes.document) -> None:
    for paragraph in list(page.findall(nodes.paragraph)):
        if paragraph.astext().strip() == "Bases:":
            paragraph.parent.remove(paragraph)


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("autodoc-process-bases", _keep_public)
    app.connect("doctree-read", _without_empty)
