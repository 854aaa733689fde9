"""One self-contained HTML file about what a run made: its rounds side by side, with examples.

Everything is read from the manifests and Parquet files of the workspace, so a report can be written
while a run is going on, after one was killed, and about versions made by hand.
"""

from vlt.report.found import Evaluation, Found, Round, find
from vlt.report.page import report_html

__all__ = ["Evaluation", "Found", "Round", "find", "report_html"]
