"""Tables in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def parameter_leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    """Nested parameters as (dotted name, value); unset ones are left out."""
    if isinstance(value, Mapping):
        return [
            leaf
            for key, v in value.items()
            for leaf in parameter_leaves(f"{name}.{key}" if name else str(key), v)
        ]
    return [] if value is None or value == [] else [(name, value)]


def bars(counts: Counter[str], most: int = 20) -> list[list[str]]:
    shown = counts.most_common(most)
    rest = counts.total() - sum(count for _, count in shown)
    shown += [("others", rest)] if rest else []
    top = max(count for _, count in shown)
    return [[name, f"{count:,}", "█" * max(1, round(20 * count / top))] for name, count in shown]


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the text of the cells is escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"

    return "\n".join([line(titles), "|" + "---|" * len(titles), *map(line, rows)])


def _cell(text: str) -> str:
    """Text escaped for a Markdown table."""
    for mark, shown in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(mark, shown)
    return text
