"""Charts as SVG text: lines with intervals, grouped bars, bars in rows, histograms.

Pure functions without a plotting library. Colours are Okabe and Ito's (2008), which stay apart for
colour-blind readers; series differ in marker, dash or filling, too, for those who print in grey.
A figure carries the light colours as attributes, and STYLE, which a page holds once and a file of
its own carries along, gives the dark ones on a dark screen; print is always light.
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
