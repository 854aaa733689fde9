"""The figures of `vlt stats` as one SVG file, drawn without a plotting library."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 460, 300, 56
BAR, INK = "#4878a8", "#333"


def svg(stats: dict[str, Any]) -> str:
    """Reasoning length (paper, Figure 10) beside pass@k or rows by source (Figure 11)."""
    panels = []
    histogram = stats.get("reasoning_words", {}).get("histogram", [])
    if histogram:
        bars = [(str(b["from"]) if i % 4 == 0 else "", b["rows"]) for i, b in enumerate(histogram)]
        panels.append(_panel(f"{stats['dataset']}: words of reasoning", bars))
    sources = stats["by_source"]
    passed = [k for k in sources[0] if k.startswith("pass@")] if sources else []
    what = passed[-1] if passed else "rows"
    panels.append(_panel(f"{what} by source", [(s["source"], s.get(what, 0)) for s in sources]))
    moved = [f'<g transform="translate({i * WIDTH} 0)">{p}</g>' for i, p in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT}" '
        f'width="{WIDTH * len(panels)}" height="{HEIGHT}" font-family="sans-serif" font-size="11" '
        f'fill="{INK}"><rect width="100%" height="100%" fill="white"/>{"".join(moved)}</svg>\n'
    )


def _panel(title: str, bars: list[tuple[str, float]]) -> str:
    """Bars with their labels below and the largest value beside the axis."""
    top = max([value for _, value in bars], default=0) or 1
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    step = wide / max(1, len(bars))
    parts = [f'<text x="{WIDTH / 2}" y="24" text-anchor="middle">{escape(title)}</text>']
    for number, (label, value) in enumerate(bars):
        tall = high * value / top
        x = MARGIN + number * step
        parts.append(
            f'<rect x="{x + step * 0.1:.1f}" y="{MARGIN + high - tall:.1f}" '
            f'width="{step * 0.8:.1f}" height="{tall:.1f}" fill="{BAR}"/>'
            f'<text x="{x + step / 2:.1f}" y="{MARGIN + high + 16}" text-anchor="middle">'
            f"{escape(label[:14])}</text>"
        )
    parts.append(
        f'<path d="M{MARGIN} {MARGIN}V{MARGIN + high}H{MARGIN + wide}" fill="none" stroke="{INK}"/>'
        f'<text x="{MARGIN - 6}" y="{MARGIN + 4}" text-anchor="end">{top:,.3g}</text>'
        f'<text x="{MARGIN - 6}" y="{MARGIN + high}" text-anchor="end">0</text>'
    )
    return "".join(parts)
