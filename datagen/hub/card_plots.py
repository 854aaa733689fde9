"""The figures of a dataset card, drawn with Pillow from the counts of `vlt stats`: PNG, 1,400 pixels wide."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, LABELS = 1400, 50, 330
"""Width of a figure, its margin, and the width of the bars' labels, in pixels."""
LINE, BAR = 56, 38
"""Height of a bar with and without its gap."""
PLOT_HEIGHT = 440
INK, FAINT, GRID, PAPER = "#24292f", "#57606a", "#d8dee4", "#ffffff"
COLOURS = ("#2f6fb0", "#e08a2c", "#4b9c5f", "#8b5fb0")
TITLE, TEXT = 34, 26
MOST_BARS = 20


def figures(found: Mapping[str, Any]) -> dict[str, tuple[bytes, str]]:
    """File name -> (PNG, caption) for the numbers of `dataset_stats`; none for missing numbers."""
    drawn: dict[str, tuple[bytes, str]] = {}
    words = found.get("reasoning_words") or {}
    if words.get("histogram"):
        title = "Words of reasoning per response"
        shown = (
            f"{title}: median {words['p50']:,.0f}, 5 % have more than {words['p95']:,.0f}; the last "
            "bar includes all longer ones"
        )
        drawn["lengths.png"] = histogram(title, words["histogram"]), shown
    if len(found.get("verdicts") or {}) > 1:
        title = "Verdicts on the kept responses"
        counts = list(found["verdicts"].items())
        drawn["verdicts.png"] = bars(title, counts, ["responses"], "{:,}"), title
    rows = found.get("by_source") or []
    rates = sorted({k for row in rows for k in row if k.startswith("pass@")}, key=_k)
    if rates:
        ends = list(dict.fromkeys([rates[0], rates[-1]]))
        title = "Items solved, by source (before filters)"
        values = [(row["source"], [row.get(k, 0.0) for k in ends]) for row in rows]
        drawn["pass-rates.png"] = bars(title, values, ends, "{:.0%}", top=1.0), title
    elif len(rows) > 1:
        title = "Rows by source"
        counts = [(row["source"], row["rows"]) for row in rows]
        drawn["sources.png"] = bars(title, counts, ["rows"], "{:,}"), title
    return drawn


def histogram(title: str, bins: Sequence[Mapping[str, Any]]) -> bytes:
    """Vertical bars over the bins, with an axis of rows."""
    image, draw, start = _sheet(title, PLOT_HEIGHT + 90)
    left, right, foot = MARGIN + 110, WIDTH - MARGIN, start + PLOT_HEIGHT
    step = _step(max(bin["rows"] for bin in bins))
    top = step * -(-max(bin["rows"] for bin in bins) // step)
    for mark in range(0, top + 1, step):
        y = foot - PLOT_HEIGHT * mark / top
        draw.line([(left, y), (right, y)], GRID, 2)
        draw.text((left - 14, y), f"{mark:,}", FAINT, _font(TEXT), anchor="rm")
    wide = (right - left) / len(bins)
    for place, bin in enumerate(bins):
        x = left + wide * place
        y = foot - PLOT_HEIGHT * bin["rows"] / top
        if bin["rows"]:
            draw.rectangle([x + 3, min(y, foot - 2), x + wide - 3, foot], COLOURS[0])
        if place % max(1, len(bins) // 10) == 0:
            draw.text((x + 3, foot + 12), f"{bin['from']:,}", FAINT, _font(TEXT))
    draw.line([(left, foot), (right, foot)], INK, 2)
    draw.text(((left + right) / 2, foot + 52), "words", FAINT, _font(TEXT), anchor="ma")
    return _png(image)


def bars(
    title: str,
    rows: Sequence[tuple[str, Any]],
    series: Sequence[str],
    form: str,
    top: float | None = None,
) -> bytes:
    """Horizontal bars, one or several per name, each with its value; at most MOST_BARS names."""
    rows = [(name, value if isinstance(value, list) else [value]) for name, value in rows]
    shown, rest = rows[:MOST_BARS], rows[MOST_BARS:]
    top = top or max(value for _, values in shown for value in values) or 1
    legend = 50 if len(series) > 1 else 0
    lines = sum(max(1, len(values)) for _, values in shown) + (1 if rest else 0)
    image, draw, y = _sheet(title, legend + LINE * lines + 14 * len(shown))
    x = MARGIN + LABELS
    for place, name in enumerate(series if legend else ()):
        draw.rectangle([x, y + 4, x + 24, y + 28], COLOURS[place % len(COLOURS)])
        draw.text((x + 36, y + 16), name, INK, _font(TEXT), anchor="lm")
        x += 190
    y += legend
    left, room = MARGIN + LABELS, WIDTH - 2 * MARGIN - LABELS - 130
    for name, values in shown:
        middle = y + (LINE * len(values) - (LINE - BAR)) / 2
        draw.text((left - 16, middle), _short(str(name)), INK, _font(TEXT), anchor="rm")
        for place, value in enumerate(values):
            end = left + max(2, room * value / top)
            draw.rectangle([left, y, end, y + BAR], COLOURS[place % len(COLOURS)])
            draw.text((end + 12, y + BAR / 2), form.format(value), INK, _font(TEXT), anchor="lm")
            y += LINE
        y += 14
    if rest:
        draw.text((left, y), f"and {len(rest):,} more", FAINT, _font(TEXT))
    return _png(image)


def _sheet(title: str, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """(an empty figure with its title, its ImageDraw, the y coordinate where the plot starts)"""
    start = MARGIN + TITLE + 40
    image = Image.new("RGB", (WIDTH, start + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, INK, _font(TITLE))
    return image, draw, start


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _step(most: int) -> int:
    """The step between two ticks of an axis: 1, 2 or 5 times a power of ten, for about five ticks."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if most <= 5 * step:
                return step
        power *= 10


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _k(name: str) -> int:
    return int(name.partition("@")[2])
