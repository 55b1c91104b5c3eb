"""Figures in a page of one file, which needs no network: drawn by matplotlib, the extra ``report``."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COLOURS", "Section", "drawn", "page"]

#: Apart from each other for all eyes (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

_STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h1 { font-size: 1.6rem; margin-bottom: 0.2rem }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.3rem }
p { margin: 0.2rem 0 0.8rem; max-width: 46rem }
figure { margin: 0; overflow-x: auto }
figure svg { width: 100%; min-width: 34rem; height: auto }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid #d8dee4; vertical-align: top }
footer { margin-top: 3rem; color: #57606a }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence on what there is to be seen, and what to see: HTML or a figure's SVG."""

    title: str
    text: str
    body: str


def drawn(draw: Callable[[Any], None], what: str, *, height: float = 2.8) -> str:
    """A figure as SVG, its texts as texts; ``draw`` is given its axes. ``what`` is for who does not see it.

    Raises ``ConfigError`` without matplotlib.
    """
    matplotlib = extra("matplotlib", "report")
    figure = extra("matplotlib.figure", "report").Figure(figsize=(8.6, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    draw(axes)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    begin = svg.index("<svg")
    return f'<figure role="img" aria-label="{escape(what)}">{svg[begin:]}</figure>'


def page(title: str, text: str, sections: Sequence[Section]) -> str:
    """The whole of it as HTML: one file, with all that it shows in it."""
    parts = [f"<section><h2>{escape(one.title)}</h2><p>{escape(one.text)}</p>{one.body}</section>" for one in sections]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p>{''.join(parts)}</main></body></html>\n"
    )
