"""Bars: grouped vertical ones, and rows of horizontal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlt.report.charts.figure import Axis, Figure, drawable, fill, frame, legend, num, stroke, words
from vlt.report.charts.letters import LETTER, breadth, short

FILLING = (1.0, 0.3, 0.65, 0.1, 0.85, 0.5)
"""Fill opacity of each series' bars; their outline is always opaque."""
WIDEST = 48.0
"""Maximum width of a vertical bar, in px."""


@dataclass(frozen=True)
class Bar:
    """A row: the value left, what was taken from it, and a note at its end."""

    label: str
    value: float
    taken: float = 0
    note: str = ""


def grouped_bars(
    title: str,
    groups: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    y_axis: Axis,
    *,
    x_label: str = "",
    say: str | None = ".2f",
    width: float = 460,
    height: float = 290,
) -> Figure:
    """One bar per series in each group; `say` is the format of the number above each bar.

    Values that are None or not finite have no bar. Numbers that would overlap are left out.
    """
    assert all(len(values) == len(groups) for _, values in series), "one value for each group"
    known = [v for _, values in series for v in values if v is not None and drawable(v)]
    key = legend([name for name, _ in series], lambda i, x, y: _bar(i, x - 8, y - 5, 16, 10), width)
    around = frame(
        Axis(x_label, -0.5, len(groups) - 0.5, list(enumerate(groups))),
        y_axis,
        (0, len(groups)),
        (min([0, *known]), max([0, *known]) or (0 if any(known) else 1)),
        width=width,
        height=height,
        head=key.height + (8 if say else 0),  # for a number above the highest bar
    )
    step = (around.right - around.left) / max(1, len(groups))
    wide = min(WIDEST, step * (0.78 if len(groups) < 15 else 0.94) / max(1, len(series)))
    parts = [key.body, around.elements]
    for index, (_, values) in enumerate(series):
        for place, value in enumerate(values):
            if value is None or not drawable(value):
                continue
            x = around.x(place) + wide * (index - len(series) / 2)
            y, foot = around.y(max(0, value)), around.y(min(0, value))
            gap = wide * 0.06
            parts.append(_bar(index, x + gap, y, wide - 2 * gap, foot - y))
            said = format(value, say) if say else ""
            if said and LETTER * len(said) * 0.9 <= wide:
                parts.append(words(x + wide / 2, y - 4, said, anchor="middle", size=10))
    return Figure(title, "".join(parts), width, height)


def row_bars(title: str, rows: Sequence[Bar], *, width: float = 460, high: float = 22) -> Figure:
    """Horizontal bars, one per row, scaled to the available width, with their numbers beside them.

    What was taken away is drawn in a faint colour behind what is left.
    """
    most = max((row.value + row.taken for row in rows), default=0) or 1
    left = 12 + LETTER * min(26, max((breadth(row.label) for row in rows), default=0))
    notes = LETTER * max((breadth(_said(row)) for row in rows), default=0)
    room = max(60.0, width - left - notes - 16)
    parts = []
    for place, row in enumerate(rows):
        y = 4 + high * place
        kept, taken = (room * part / most for part in (row.value, row.taken))
        parts.append(words(left - 6, y + 13, short(row.label, 26), anchor="end"))
        if taken:
            parts.append(_bar(1, left + kept, y, taken, high - 6))
        parts.append(_bar(0, left, y, max(kept, 0.8), high - 6))
        parts.append(words(left + kept + taken + 6, y + 13, _said(row)))
    return Figure(title, "".join(parts), width, 8 + high * len(rows))


def _said(row: Bar) -> str:
    return f"{row.value:,.0f}" + (f"  {row.note}" if row.note else "")


def _bar(index: int, x: float, y: float, width: float, height: float) -> str:
    box = f'x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(max(0, height))}"'
    full = FILLING[index % len(FILLING)]
    return f'<rect {box} {fill(index)} fill-opacity="{full}"/><rect {box} {stroke(index)}/>'
