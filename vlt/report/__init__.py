"""One self-contained HTML file on what a run made: its rounds side by side, with examples.

All of it is read from the manifests and Parquet files of the workspace, so a report can be made
while a run is writing, after one was killed, and of versions that were made by hand.
"""

from vlt.report.found import Evaluation, Found, Round, find
from vlt.report.page import report_html

__all__ = ["Evaluation", "Found", "Round", "find", "report_html"]
