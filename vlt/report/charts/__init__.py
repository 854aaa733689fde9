"""Charts as SVG text: lines with intervals, grouped bars, bars in rows, histograms.

Pure functions without a plotting library. The colours are Okabe and Ito's (2008), which colour-blind
readers can tell apart; series also differ in marker, dash or fill, for printing in grey. A figure has
the light colours as attributes; STYLE, included once in a page or in an SVG file, switches to the dark
ones on a dark screen. Print is always light.
"""

from vlt.report.charts.bars import Bar, grouped_bars, row_bars
from vlt.report.charts.figure import STYLE, Axis, Figure, svg_file
from vlt.report.charts.lines import Line, Point, lines, outlines

__all__ = [
    "STYLE",
    "Axis",
    "Bar",
    "Figure",
    "Line",
    "Point",
    "grouped_bars",
    "lines",
    "outlines",
    "row_bars",
    "svg_file",
]
