"""What all charts share: the figure, its colours, and its frame with ticks and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vlt.report.charts.letters import LETTER, breadth, short, text, wrapped

LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DARK = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
INK, FAINT, PAPER = ("#222222", "#e8eaed"), ("#c9ccd1", "#41464e"), ("#ffffff", "#16181c")
"""Light and dark: text and axes, grid, background."""
FONT = "ui-sans-serif, system-ui, 'Helvetica Neue', Arial, sans-serif"
LINE = 16
"""Line height of text, in px."""


def _dark_rules() -> str:
    rules = [f".vlt-f{i}{{fill:{c}}}.vlt-s{i}{{stroke:{c}}}" for i, c in enumerate(DARK)]
    for name, (_, dark) in {"ink": INK, "faint": FAINT, "paper": PAPER}.items():
        rules.append(f".vlt-f-{name}{{fill:{dark}}}.vlt-s-{name}{{stroke:{dark}}}")
    return "".join(rules)


STYLE = f"@media screen and (prefers-color-scheme: dark){{{_dark_rules()}}}"
"""CSS for a page with figures; without it they are always light."""


@dataclass(frozen=True)
class Axis:
    """An axis: its label (with the unit), and limits and ticks, unless they are to be computed."""

    label: str
    low: float | None = None
    high: float | None = None
    ticks: Sequence[tuple[float, str]] | None = None
    """(position, text) of each tick."""
    whole: bool = False
    """Ticks only at integers: steps, words."""


@dataclass(frozen=True)
class Figure:
    """A drawn chart; sizes in px."""

    title: str
    body: str
    """SVG elements."""
    width: float
    height: float

    def inline(self) -> str:
        """An <svg> element for a page that holds STYLE."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{text(self.title)}" '
            f'viewBox="0 0 {num(self.width)} {num(self.height)}" width="{num(self.width)}" '
            f'height="{num(self.height)}" font-family="{FONT}" font-size="11">{self.body}</svg>'
        )


def svg_file(figures: Sequence[Figure]) -> str:
    """Figures side by side as one SVG file, with titles, a background and its own style."""
    head = 34
    width = sum(figure.width for figure in figures)
    height = head + max((figure.height for figure in figures), default=0)
    parts, x = [], 0.0
    for figure in figures:
        title = words(x + figure.width / 2, 22, figure.title, anchor="middle", size=13)
        parts.append(f'{title}<g transform="translate({num(x)} {head})">{figure.body}</g>')
        x += figure.width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {num(width)} {num(height)}" '
        f'width="{num(width)}" height="{num(height)}" font-family="{FONT}" font-size="11">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" {fill("paper")}/>'
        f"{''.join(parts)}</svg>\n"
    )


def num(value: float) -> str:
    """A coordinate, rounded to a tenth of a px and written as short as possible."""
    return f"{value:.1f}".removesuffix(".0")


def colour(index: int) -> str:
    """The light colour of a series; after six they repeat."""
    return LIGHT[index % len(LIGHT)]


def fill(what: int | str) -> str:
    """The attributes that fill with a series' colour, or with ink, faint or paper."""
    return f'class="vlt-f{_class(what)}" fill="{_light(what)}"'


def stroke(what: int | str, width: float = 1) -> str:
    """The attributes of a line in a series' colour, or in ink, faint or paper."""
    return (
        f'class="vlt-s{_class(what)}" stroke="{_light(what)}" fill="none" '
        f'stroke-width="{num(width)}"'
    )


def _class(what: int | str) -> str:
    return str(what % len(LIGHT)) if isinstance(what, int) else f"-{what}"


def _light(what: int | str) -> str:
    if isinstance(what, int):
        return colour(what)
    return {"ink": INK, "faint": FAINT, "paper": PAPER}[what][0]


def words(
    x: float,
    y: float,
    value: str,
    *,
    anchor: str = "start",
    size: int = 11,
    turned: bool = False,
    bold: bool = False,
) -> str:
    """A line of text; `turned` reads upwards."""
    turn = f' transform="rotate(-90 {num(x)} {num(y)})"' if turned else ""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{num(x)}" y="{num(y)}" text-anchor="{anchor}" font-size="{size}"{weight}{turn} '
        f"{fill('ink')}>{text(value)}</text>"
    )


def drawable(value: float | None) -> bool:
    """Whether a value can be placed on an axis: a training's loss may be NaN or infinite."""
    return (
        value is not None and abs(value) < 1e300
    )  # false of NaN; the span of two must not overflow


def round_ticks(low: float, high: float, about: int = 5, *, whole: bool = False) -> list[float]:
    """About this many round numbers that span low to high."""
    largest = max(abs(low), abs(high))
    if high - low <= 1e-12 * largest:  # a single value is centred
        low, high = low - largest / 2, high + largest / 2
    if high - low < 1e-300:  # and 0 is at the bottom
        low, high = 0.0, 1.0
    raw = (high - low) / about
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    step = max(1, math.ceil(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """A tick's number: with thousands separators, and no more digits than needed."""
    if abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"


@dataclass(frozen=True)
class Frame:
    """The plotting area, and the elements around it."""

    elements: str
    x: Callable[[float], float]
    y: Callable[[float], float]
    left: float
    right: float
    top: float
    bottom: float


def frame(
    x_axis: Axis,
    y_axis: Axis,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    width: float,
    height: float,
    head: float,
) -> Frame:
    """Axes with ticks, labels and a faint grid, below `head` px for the legend."""
    y_ticks = y_axis.ticks or _ticks(y_axis, *y_range)
    x_ticks = x_axis.ticks or _ticks(x_axis, *x_range)
    y_low, y_high = _ends(y_axis, y_range, y_ticks)
    x_low, x_high = _ends(x_axis, x_range, x_ticks if x_axis.ticks is None else [])
    left = 34 + LETTER * max((len(label) for _, label in y_ticks), default=0)
    right, top = width - 14, head + 10.0
    each = (right - left) / max(1, len(x_ticks))
    broken = [(place, wrapped(label, each)) for place, label in x_ticks]
    deep = max((len(rows) for _, rows in broken), default=1)
    bottom = height - 26 - 13 * deep

    def at_x(value: float) -> float:
        return left + (right - left) * (value - x_low) / ((x_high - x_low) or 1)

    def at_y(value: float) -> float:
        return bottom - (bottom - top) * (value - y_low) / ((y_high - y_low) or 1)

    parts = []
    for place, label in y_ticks:
        y = at_y(place)
        parts.append(f'<path d="M{num(left)} {num(y)}H{num(right)}" {stroke("faint", 0.8)}/>')
        parts.append(words(left - 7, y + 4, label, anchor="end"))
    for place, rows in broken:
        x = at_x(place)
        parts.append(f'<path d="M{num(x)} {num(bottom)}v4" {stroke("ink")}/>')
        parts += [
            words(x, bottom + 16 + 13 * i, row, anchor="middle") for i, row in enumerate(rows)
        ]
    parts.append(f'<path d="M{num(left)} {num(bottom)}H{num(right)}" {stroke("ink")}/>')
    parts.append(words((left + right) / 2, height - 6, x_axis.label, anchor="middle"))
    parts.append(words(12, (top + bottom) / 2, y_axis.label, anchor="middle", turned=True))
    return Frame("".join(parts), at_x, at_y, left, right, top, bottom)


def _ticks(axis: Axis, low: float, high: float) -> list[tuple[float, str]]:
    low = low if axis.low is None else axis.low
    high = high if axis.high is None else axis.high
    ticks = round_ticks(low, high, whole=axis.whole)
    slack = 1e-9 * (high - low)
    # A limit that was given is kept: no tick lies beyond it.
    if axis.low is not None:
        ticks = [tick for tick in ticks if tick >= low - slack]
    if axis.high is not None:
        ticks = [tick for tick in ticks if tick <= high + slack]
    return [(tick, number(tick)) for tick in ticks]


def _ends(
    axis: Axis, data: tuple[float, float], ticks: Sequence[tuple[float, str]]
) -> tuple[float, float]:
    places = [place for place, _ in ticks]
    low = axis.low if axis.low is not None else min([data[0], *places])
    high = axis.high if axis.high is not None else max([data[1], *places])
    return low, high


def legend(names: Sequence[str], mark: Callable[[int, float, float], str], width: float) -> Figure:
    """Names with their marks, in as many lines as needed; empty for a single name ""."""
    if not any(names):
        return Figure("", "", width, 0)
    parts, x, y = [], 34.0, 12.0
    for index, name in enumerate(names):
        shown = short(name, int((width - 80) / LETTER))
        wide = 30 + LETTER * breadth(shown) + 14
        if x + wide > width and x > 34:
            x, y = 34.0, y + LINE
        parts += [mark(index, x + 10, y - 4), words(x + 26, y, shown)]
        x += wide
    return Figure("", "".join(parts), width, y + 6)
