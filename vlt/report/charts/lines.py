"""Lines with points and 95 % intervals, and histograms as outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vlt.report.charts.figure import Axis, Figure, drawable, fill, frame, legend, num, stroke
from vlt.report.charts.letters import text

DASHES = ("", "6 3", "2 2.5", "8 3 2 3", "1 3", "10 4")
MOST_MARKED = 30
"""A line with more points has no markers; its dash still distinguishes it."""


@dataclass(frozen=True)
class Point:
    """A value, with the ends of its interval if it has one, and the text of its tooltip."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A named series of points, in the order of x."""

    name: str
    points: Sequence[Point]


def lines(
    title: str,
    series: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    *,
    joined: bool = True,
    width: float = 460,
    height: float = 290,
) -> Figure:
    """One line per series, or only its points if they are not `joined`.

    Intervals are drawn for points that have them, those of different series side by side. Points that
    are not finite leave a gap; without any points only the axes are drawn.
    """
    points = [p for line in series for p in line.points if _drawable(p)]
    names = [line.name for line in series]
    key = legend(names, lambda i, x, y: _key(i, x, y, series[i]), width)
    ys = [y for p in points for y in (p.low, p.y, p.high) if y is not None] or [0.0]
    xs = [point.x for point in points] or [0.0]
    ends = (min(xs), max(xs)), (min(ys), max(ys))
    around = frame(x_axis, y_axis, *ends, width=width, height=height, head=key.height)
    parts = [key.body, around.elements]
    for index, line in enumerate(series):
        aside = 5.0 * (index - (len(series) - 1) / 2) if _intervals(series) else 0.0
        places, path, pen = [], "", "M"
        for p in line.points:
            if not _drawable(p):
                pen = "M"
                continue
            x, y = around.x(p.x) + aside, around.y(p.y)
            places.append((x, y, p))
            path += f"{pen}{num(x)} {num(y)}"
            pen = "L"
        if joined and len(places) > 1:
            parts.append(f'<path d="{path}" {stroke(index, 1.8)}{_dash(index)}/>')
        for x, y, point in places:
            if point.low is not None and point.high is not None:
                parts.append(_interval(index, x, around.y(point.low), around.y(point.high)))
            if len(places) <= MOST_MARKED:
                note = f"<title>{text(point.note)}</title>" if point.note else ""
                parts.append(f"<g>{marker(index, x, y)}{note}</g>")
    return Figure(title, "".join(parts), width, height)


def outlines(
    title: str,
    edges: Sequence[float],
    series: Sequence[tuple[str, Sequence[float]]],
    x_axis: Axis,
    y_axis: Axis,
    *,
    width: float = 460,
    height: float = 290,
) -> Figure:
    """Histograms over the same edges, one outline each; the first has a faint fill."""
    assert all(len(values) == len(edges) - 1 for _, values in series), "one value for each bin"
    key = legend([name for name, _ in series], lambda i, x, y: _dashed(i, x, y), width)
    top = max((value for _, values in series for value in values), default=0) or 1
    around = frame(
        replace(x_axis, low=edges[0], high=edges[-1]),
        y_axis,
        (edges[0], edges[-1]),
        (0, top),
        width=width,
        height=height,
        head=key.height,
    )
    parts = [key.body, around.elements]
    for index, (_, values) in enumerate(series):
        path = f"M{num(around.x(edges[0]))} {num(around.bottom)}"
        for right, value in zip(edges[1:], values, strict=True):
            path += f"V{num(around.y(value))}H{num(around.x(right))}"
        path += f"V{num(around.bottom)}"
        if index == 0:
            parts.append(f'<path d="{path}Z" {fill(0)} fill-opacity="0.16"/>')
        parts.append(f'<path d="{path}" {stroke(index, 1.8)}{_dash(index)}/>')
    return Figure(title, "".join(parts), width, height)


def marker(index: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond, cross or ring, in the colour of the series."""
    shape = index % 6
    if shape == 0:
        return f'<circle cx="{num(x)}" cy="{num(y)}" r="4" {fill(index)}/>'
    if shape == 1:
        return (
            f'<rect x="{num(x - 3.6)}" y="{num(y - 3.6)}" width="7.2" height="7.2" {fill(index)}/>'
        )
    if shape == 4:
        path = f"M{num(x - 4)} {num(y - 4)}l8 8m0 -8l-8 8"
        return f'<path d="{path}" {stroke(index, 2)}/>'
    if shape == 5:
        return f'<circle cx="{num(x)}" cy="{num(y)}" r="3.6" {stroke(index, 2)}/>'
    path = "l4.6 8h-9.2z" if shape == 2 else "l5 5l-5 5l-5 -5z"
    return f'<path d="M{num(x)} {num(y - 5)}{path}" {fill(index)}/>'


def _key(index: int, x: float, y: float, line: Line) -> str:
    marked = marker(index, x, y) if len(line.points) <= MOST_MARKED else ""
    return _dashed(index, x, y) + marked


def _dashed(index: int, x: float, y: float) -> str:
    return f'<path d="M{num(x - 11)} {num(y)}h22" {stroke(index, 1.8)}{_dash(index)}/>'


def _dash(index: int) -> str:
    dash = DASHES[index % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _interval(index: int, x: float, low: float, high: float) -> str:
    path = f"M{num(x - 3.5)} {num(high)}h7m-3.5 0V{num(low)}m-3.5 0h7"
    return f'<path d="{path}" {stroke(index, 1.3)}/>'


def _drawable(point: Point) -> bool:
    ends = [end for end in (point.low, point.high) if end is not None]
    return all(map(drawable, (point.x, point.y, *ends)))


def _intervals(series: Sequence[Line]) -> bool:
    return any(point.low is not None for line in series for point in line.points)
