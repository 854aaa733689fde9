"""A report as a reader sees it: its tables, texts, examples, and everything it refers to."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link", "base", "source"}


class Page(HTMLParser):
    """Parsed once; what is asked for are its attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        """(tag, name, value)."""
        self.texts: list[str] = []
        """Each run of text, of figures and their notes, too."""
        self._tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "table":
            self._tables.append([])
        elif tag == "tr":
            self._tables[-1].append([])
        elif tag in ("td", "th"):
            self._tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.texts.append(data)
            if self._open and {"td", "th"} & set(self._open[-4:]):
                self._tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        """All that stands on the page."""
        return "".join(self.texts)

    def table(self, head: str) -> list[dict[str, str]]:
        """The rows of the first table with that column, by their columns."""
        found = next(t for t in self._tables if head in t[0])
        return [dict(zip(found[0], row, strict=False)) for row in found[1:]]

    @property
    def ids(self) -> set[str]:
        return {value for _, name, value in self.attributes if name == "id"}

    @property
    def images(self) -> list[str]:
        return [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]

    @property
    def examples(self) -> list[tuple[str, str]]:
        """(title, beginning of the id)."""
        return [(title, start) for title, start, _ in self._examples()]

    def example_ref(self, title: str, start: str) -> str:
        """The version that the example is of."""
        return next(ref for t, s, ref in self._examples() if (t, s) == (title, start))

    def _examples(self) -> list[tuple[str, str, str]]:
        found = re.findall(
            r'<article class="example"><h3>([^<]*)</h3>.*?<dt>row</dt><dd class="soft">'
            r"<code>(\w*)</code> of <code>([^<]*)</code>",
            self.html,
            re.S,
        )
        return [(unescape(title), start, ref) for title, start, ref in found]
