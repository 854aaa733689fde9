"""Charts: numbers at their places, labels inside, any value and any name, dark screens and print."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlt.report.charts import (
    STYLE,
    Axis,
    Bar,
    Figure,
    Line,
    Point,
    grouped_bars,
    lines,
    outlines,
    row_bars,
    svg_file,
)
from vlt.report.charts.figure import LIGHT, number, round_ticks
from vlt.report.charts.letters import breadth, short, wrapped
from vlt.report.charts.lines import DASHES, marker

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "</svg><script>alert(1)</script>",
    '" onload="alert(1)',
    "a\x00b\x1b[2J\x7f",
    "\u202eevil\u2066",
    "\ud800",
    "\ufffe\uffff",
    "&lt;b&gt; <![CDATA[",
    "長" * 400,
    "x" * 1_000_000,
    "",
]


def parsed(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.inline())


def said(figure: Figure) -> list[str]:
    return [t.text or "" for t in parsed(figure).iter(f"{SVG}text")]


def heights(figure: Figure) -> Callable[[float], float]:
    """From a number to its y, by two of the ticks at the left."""
    ticks = [
        (float(t.text.replace(",", "")), float(t.attrib["y"]) - 4)
        for t in parsed(figure).iter(f"{SVG}text")
        if t.attrib["text-anchor"] == "end" and t.text and re.fullmatch(r"-?[\d,.]+", t.text)
    ]
    (a, ya), (b, yb) = ticks[0], ticks[-1]
    return lambda value: ya + (yb - ya) * (value - a) / (b - a)


def test_intervals_stand_at_their_values_beside_one_another() -> None:
    series = [
        Line("held out", [Point(0, 20, 10, 35), Point(1, 60, 50, 70)]),
        Line("benchmark", [Point(1, 40, 30, 55)]),
    ]
    axis = Axis("model", -0.4, 1.4, [(0, "base"), (1, "SFT 1")])
    figure = lines("Accuracy", series, axis, Axis("accuracy (%)", 0, 100))
    assert {"model", "accuracy (%)", "base", "SFT 1", "held out", "benchmark"} <= set(said(figure))
    y = heights(figure)
    drawn = re.findall(r'd="M([\d.]+) ([\d.]+)h7m-3.5 0V([\d.]+)m-3.5 0h7"', figure.body)
    ends = [(float(high), float(low)) for _, high, low in drawn]
    expected = [(35, 10), (70, 50), (55, 30)]
    for (high, low), (top, foot) in zip(ends, expected, strict=True):
        assert (high, low) == pytest.approx((y(top), y(foot)), abs=0.11)
    assert float(drawn[1][0]) != float(drawn[2][0]), "intervals of one model lie side by side"
    circles = [(float(c.attrib["cy"])) for c in parsed(figure).iter(f"{SVG}circle")]
    assert circles[1:] == pytest.approx([y(20), y(60)], abs=0.11)  # the first is the legend's


def test_bars_are_as_high_as_their_values() -> None:
    figure = grouped_bars(
        "pass@k",
        ["a", "b"],
        [("pass@1", [0.5, None]), ("pass@4", [0.75, 1.0])],
        Axis("share", 0, 1),
    )
    y = heights(figure)
    bars = [r for r in parsed(figure).iter(f"{SVG}rect") if "fill-opacity" in r.attrib][2:]
    tall = [float(bar.attrib["height"]) for bar in bars]
    assert tall == pytest.approx([y(0) - y(v) for v in (0.5, 0.75, 1.0)], abs=0.11)
    assert {"0.50", "0.75", "1.00", "share", "pass@1", "pass@4"} <= set(said(figure))


def test_rows_of_bars_are_as_wide_as_what_is_left_and_taken() -> None:
    figure = row_bars("Funnel", [Bar("items", 100), Bar("verify", 60, 40, "(−40)")])
    widths = {}
    for bar in parsed(figure).iter(f"{SVG}rect"):
        if "fill-opacity" in bar.attrib:
            widths[bar.attrib["class"], bar.attrib["y"]] = float(bar.attrib["width"])
    whole, left, taken = (
        widths["vlt-f0", "4"],
        widths["vlt-f0", "26"],
        widths["vlt-f1", "26"],
    )
    assert (left / whole, taken / whole) == pytest.approx((0.6, 0.4), abs=0.01)
    assert said(figure) == ["items", "100", "verify", "60  (−40)"]


def test_an_outline_holds_its_shares() -> None:
    figure = outlines("Words", [0, 2, 4], [("a", [75.0, 25.0])], Axis("words"), Axis("%", 0))
    y = heights(figure)
    (path,) = re.findall(r'd="(M[\d. VH]+)" class="vlt-s0" [^>]*stroke-width="1.8"/>', figure.body)
    tops = [float(v) for v in re.findall(r"V([\d.]+)", path)]
    assert tops == pytest.approx([y(75), y(25), y(0)], abs=0.11)


VALUES: list[list[float]] = [
    [],
    [0.5],
    [0.0, 0.0],
    [math.nan],
    [1.0, math.nan, 3.0],
    [math.inf, -math.inf, 2.0],
    [-5.0, 5.0],
    [1e12, 2e12],
    [-1e299, 1e299],
    [1e-12, 2e-12],
]


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_any_values_are_drawn_inside(values: list[float]) -> None:
    plain = [abs(v) if math.isfinite(v) else 0.0 for v in values]
    points = [Point(i, v, v, v) for i, v in enumerate(values)]
    figures = [
        lines("l", [Line("a", points)], Axis("step", whole=True), Axis("y")),
        grouped_bars("g", [str(i) for i in range(len(values))], [("a", values)], Axis("y")),
        row_bars("r", [Bar("a", v, v) for v in plain]),
        outlines("o", list(range(len(values) + 1)), [("a", plain)], Axis("x"), Axis("y")),
    ]
    for figure in figures:
        numbers = re.findall(r' (?:x|y|cx|cy|width|height)="([^"]*)"', figure.inline())
        assert all(-1 <= float(n) <= figure.width + 1 for n in numbers), figure.title
        assert "nan" not in figure.body.lower()
        assert "inf" not in figure.body.lower()
        assert parsed(figure) is not None


def test_what_is_no_number_leaves_a_gap() -> None:
    points = [Point(i, v) for i, v in enumerate([1.0, 2.0, math.nan, 2.0, 1.0])]
    figure = lines("loss", [Line("a", points)], Axis("step"), Axis("loss"))
    (path,) = re.findall(r'd="(M[^"h]*L[^"]*)"', figure.body)
    assert path.count("M") == 2
    assert path.count("L") == 2


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:20])
def test_any_name_is_text(name: str) -> None:
    points = [Point(0, 1.0, note=name[:500])]
    figures = [
        lines(name[:500], [Line(name, points)], Axis("x", 0, 1, [(0, name)]), Axis(name[:40])),
        grouped_bars(name[:500], [name, "b"], [(name, [1, 2])], Axis("y")),
        row_bars("r", [Bar(name, 3)]),
        outlines("o", [0, 1], [(name, [1.0])], Axis("x"), Axis("y")),
    ]
    for figure in figures:
        tree = parsed(figure)
        tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
        assert tags <= {"svg", "g", "path", "rect", "circle", "text", "title"}
        assert not [a for e in tree.iter() for a in e.attrib if a.startswith("on")]
        assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069\ud800-\udfff]", figure.inline())
        assert len(figure.inline().encode()) < 20_000
    assert ElementTree.fromstring(svg_file(figures)) is not None


def test_labels_stay_inside() -> None:
    """By the mean width of a letter, with 15 % for fonts that run wide."""
    sources = [f"geometry3k_with_a_long_name_{i}" for i in range(12)]
    figures = [
        grouped_bars("p", sources, [("pass@1", [0.5] * 12)], Axis("share", 0, 1), width=940),
        row_bars("f", [Bar(s, 1_000_000, 999_999, "(−999,999)") for s in sources]),
        lines(
            "a",
            [Line(s, [Point(i, 1e9 * i) for i in range(3)]) for s in sources[:6]],
            Axis("step"),
            Axis("mean length (tokens)"),
        ),
    ]
    for figure in figures:
        for t in parsed(figure).iter(f"{SVG}text"):
            wide = 6.1 * breadth(t.text or "") * 0.85
            start = {"start": 0.0, "middle": 0.5, "end": 1.0}[t.attrib["text-anchor"]]
            x = float(t.attrib["x"])
            if "transform" in t.attrib:
                continue
            assert x - start * wide >= 0, t.text
            assert x + (1 - start) * wide <= figure.width, t.text


def test_dark_screens_and_print() -> None:
    figure = lines(
        "a",
        [Line(str(i), [Point(0, i, i - 1, i + 1)]) for i in range(8)],
        Axis("x"),
        Axis("y"),
    )
    assert STYLE.startswith("@media screen and (prefers-color-scheme: dark)")
    for element in parsed(figure).iter():
        if element.attrib.get("fill", "none") != "none" or "stroke" in element.attrib:
            assert f".{element.attrib['class']}{{" in STYLE
    whole = svg_file([figure, figure])
    tree = ElementTree.fromstring(whole)
    assert tree.find(f"{SVG}style") is not None
    assert tree.find(f"{SVG}rect").attrib["class"] == "vlt-f-paper"  # type: ignore[union-attr]


def test_six_series_differ_without_colour() -> None:
    shapes = [re.sub(r'vlt-[fs]\d|#\w+|"[\d.]+"', "", marker(i, 9, 9)) for i in range(6)]
    # A circle and a ring differ in being filled.
    assert len(set(shapes)) == len(set(DASHES)) == len(set(LIGHT)) == 6


@given(st.floats(-1e290, 1e290), st.floats(0, 1e290), st.booleans())
def test_ticks_hold_the_data(low: float, span: float, whole: bool) -> None:
    high = low + span
    ticks = round_ticks(low, high, whole=whole)
    slack = 1e-6 * (ticks[-1] - ticks[0])  # below a pixel
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert ticks == sorted(ticks)
    assert 2 <= len(ticks) <= 14
    assert not whole or all(tick == int(tick) for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.30000000000000004, "0.3"), (1500, "1,500"), (2.5, "2.5"), (-0.25, "-0.25"), (3e9, "3e+09")],
)
def test_numbers_of_ticks(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("label", "width", "lines_"),
    [
        ("GRPO 1", 100, ["GRPO 1"]),
        ("training rows, round 1", 60, ["training", "rows,", "round 1"]),
        ("geometry3k-hard_split", 80, ["geometry3k-", "hard_split"]),
        ("x" * 50, 61, ["x" * 9 + "…"]),
        ("", 50, [""]),
    ],
)
def test_labels_are_broken(label: str, width: float, lines_: list[str]) -> None:
    assert wrapped(label, width) == lines_


def test_wide_letters_take_two() -> None:
    assert short("長い名前の源", 6) == "長い…"
    found: Any = breadth("長a")
    assert found == 3
