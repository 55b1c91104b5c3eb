"""HTML as a browser takes it: its tags, each closed, and its texts."""

from __future__ import annotations

from html.parser import HTMLParser

_EMPTY = {"br", "hr", "img", "input", "link", "meta"}


class Markup(HTMLParser):
    """``texts`` and ``tags`` of some HTML; ``open`` are the tags that nothing closes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
