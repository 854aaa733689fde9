"""The report's figures, from its numbers, with the figures of the paper that they correspond to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlt.filters.text import Ints
from vlt.report.charts import (
    Axis,
    Bar,
    Figure,
    Line,
    Point,
    grouped_bars,
    lines,
    outlines,
    row_bars,
)
from vlt.report.charts.letters import short
from vlt.report.found import Evaluation, Round
from vlt.report.numbers import thinned
from vlt.report.responses import bins

WIDE = 460
WHOLE = 940
"""Width of the page, in px."""
FEW_SOURCES, MOST_SOURCES = 4, 12
"""In a figure; the table has all."""


def accuracy(evaluations: Sequence[Evaluation]) -> Figure | None:
    """Accuracy over the loop with 95 % intervals, one line per set of items (paper, Figure 4).

    Models that the loop did not make are shown only if it made none.
    """
    inside = [e for e in evaluations if e.place[1] or e.model == "base"]
    shown = inside or list(evaluations)
    if not shown:
        return None
    models = list(dict.fromkeys((e.place, e.model) for e in shown))
    place = {model: i for i, model in enumerate(models)}
    series = []
    for items in _most_first([e.items for e in shown]):
        points = []
        for e in (e for e in shown if e.items == items):
            value, low, high = (100 * e.accuracy[name] for name in ("value", "low", "high"))
            note = (
                f"{short(e.model, 60)}, {short(items, 60)}: {value:.1f} % [{low:.1f}, {high:.1f}]"
            )
            points.append(Point(place[e.place, e.model], value, low, high, note))
        series.append(Line(items, points))
    x = Axis("model", -0.4, len(models) - 0.6, [(i, label) for i, (_, label) in enumerate(models)])
    high = max(100 * e.accuracy["high"] for e in shown)
    y = Axis("accuracy (%)", 0, 100 if high > 75 else None)
    return lines("Accuracy over the loop", series, x, y, joined=bool(inside), width=620, height=330)


def funnel(found: Round, steps: Sequence[dict[str, Any]]) -> Figure | None:
    """What each step of a round kept and, in a faint colour, what it dropped."""
    rows = [
        Bar(s["step"], s["rows"], s["out"], f"(−{s['out']:,})" if s["out"] else "") for s in steps
    ]
    return row_bars(f"Data funnel, {found.label}", rows, width=WIDE) if rows else None


def pass_at(rounds: Sequence[tuple[Round, dict[str, dict[str, float]]]]) -> list[Figure]:
    """One figure per round: pass@k of each source (paper, Figure 11)."""
    figures = []
    for found, by_source in rounds:
        sources = sorted(by_source)[:MOST_SOURCES]
        names = sorted({k for s in sources for k in by_source[s]}, key=lambda k: int(k[5:]))
        if not names:
            continue
        series = [(name, [by_source[s].get(name) for s in sources]) for name in names]
        figures.append(
            grouped_bars(
                f"pass@k by source, {found.label}",
                [source or "(none)" for source in sources],
                series,
                Axis("share of items solved", 0, 1),
                x_label="source",
                width=WIDE if len(sources) <= FEW_SOURCES else WHOLE,
            )
        )
    return figures


def lengths(title: str, named: Sequence[tuple[str, Ints]]) -> Figure | None:
    """Words of reasoning, one outline each (paper, Figure 10)."""
    known = [(name, words) for name, words in named if len(words)]
    if not known:
        return None
    edges, shares = bins([words for _, words in known])
    series = [
        (name, [100 * s for s in share]) for (name, _), share in zip(known, shares, strict=True)
    ]
    return outlines(
        title,
        edges,
        series,
        Axis("words (the last bin includes all longer ones)", whole=True),
        Axis("responses (%)", 0),
        width=WIDE,
    )


def curves(
    trainings: Sequence[tuple[str, dict[str, list[tuple[int, float]]]]],
    metric: str,
    title: str,
    label: str,
) -> Figure | None:
    """One metric over the steps of each training (paper, Figures 5 and 6)."""
    series = [
        Line(
            name,
            [Point(x, y, note=f"{name}, step {x:.0f}: {y:.4g}") for x, y in thinned(found[metric])],
        )
        for name, found in trainings
        if found.get(metric)
    ]
    if not series:
        return None
    return lines(title, series, Axis("GRPO step", whole=True), Axis(label), width=WIDE)


def reflections(rows: Sequence[tuple[str, float | None]]) -> Figure | None:
    """Share of responses with reflections, in each version that was counted."""
    known = [(name, 100 * share) for name, share in rows if share is not None]
    if not known:
        return None
    return grouped_bars(
        "Responses with reflections",
        [name for name, _ in known],
        [("", [share for _, share in known])],
        Axis("responses (%)", 0),
        say=".1f",
        width=WIDE if len(known) <= 6 else WHOLE,
    )


def _most_first(items: Sequence[str]) -> list[str]:
    """The items that most models were asked come first, since the first line stands out."""
    names = list(dict.fromkeys(items))
    return sorted(names, key=lambda name: (-items.count(name), names.index(name)))
