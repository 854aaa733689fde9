"""The figures of `vlt stats` as one SVG file."""

from __future__ import annotations

from typing import Any

from vlt.report.charts import Axis, Figure, grouped_bars, outlines, svg_file

MOST_SOURCES = 12
"""In a figure; the table has all."""


def svg(stats: dict[str, Any]) -> str:
    """Reasoning length (paper, Figure 10) beside pass@k or rows by source (Figure 11)."""
    figures = []
    if histogram := stats.get("reasoning_words", {}).get("histogram"):
        figures.append(_lengths(stats["dataset"], histogram))
    figures.append(_by_source(stats["dataset"], stats["by_source"]))
    return svg_file(figures)


def _lengths(dataset: str, histogram: list[dict[str, int]]) -> Figure:
    edges = [bin["from"] for bin in histogram]
    width = edges[1] - edges[0] if len(edges) > 1 else 1
    return outlines(
        f"{dataset}: words of reasoning",
        [*edges, edges[-1] + width],
        [("", [bin["rows"] for bin in histogram])],
        Axis("words (the last bin includes all longer ones)"),
        Axis("responses", 0),
    )


def _by_source(dataset: str, sources: list[dict[str, Any]]) -> Figure:
    shown = sorted(sources, key=lambda row: -row["rows"])[:MOST_SOURCES]
    ks = {name for row in shown for name in row if name.startswith("pass@")}
    series = sorted(ks, key=lambda name: int(name.removeprefix("pass@"))) or ["rows"]
    what = "share of items solved" if ks else "rows"
    return grouped_bars(
        f"{dataset}: {'pass@k' if ks else 'rows'} by source",
        [row["source"] or "(none)" for row in shown],
        [(name if ks else "", [row.get(name) for row in shown]) for name in series],
        Axis(what, 0, 1 if ks else None),
        x_label="source",
        say=".2f" if ks else ",.0f",
    )
