"""Speed and memory of `vlt view` on a large dataset.

    python -m benchmarks.view [--rows 1000000] [--images 20000] [--folder bench-data]

Makes, once, a workspace of ROWS samples with texts of about 300 words, four per item, and IMAGES
different photographs of about 30 kB, which the items share (20,000 of them: 2.4 GB of disk; with
`--images 250000` every item has its own: 10 GB). Starts `vlt view` as a user does, and requests pages
over HTTP and, if there is a Chromium, in it. Prints for each the wall time, the CPU seconds of the
server, and its peak memory so far (VmHWM), and whether a bar is missed: 1 second from the start of the
process to a page with rows, 500 MB throughout.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.browser import MISSING, chromium, opened
from benchmarks.view_workspace import item_of, prepare

OPENS, MEMORY = 1.0, 500.0
"""Bars: seconds, and MB."""
TICKS = os.sysconf("SC_CLK_TCK")


class Viewed:
    """`vlt view` in a separate process, and a table of what it costs."""

    def __init__(self, workspace: Path, dataset: str = "samples"):
        self._began = time.perf_counter()
        command = ["-m", "vlt.cli.main", "view", dataset, "-w", str(workspace), "--no-open"]
        self._process = subprocess.Popen(
            [sys.executable, *command, "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        assert self._process.stderr
        line = self._process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if not found:
            sys.exit(line + self._process.stderr.read())
        self.address = found[0]

    def get(self, path: str) -> str:
        """The page's text; redirects are followed."""
        return self.get_bytes(path).decode()

    def get_bytes(self, path: str) -> bytes:
        """The response body."""
        with urllib.request.urlopen(self.address + path, timeout=300) as answer:
            data: bytes = answer.read()
        return data

    def since_start(self) -> float:
        """Seconds since the process started."""
        return time.perf_counter() - self._began

    def cpu(self) -> float:
        """CPU seconds that the process has used."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def megabytes(self) -> float:
        """Its peak memory so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(kilobytes) / 1024

    def timed(self, what: str, work: Callable[[], object]) -> float:
        """Do the work and print a line about it; returns its seconds."""
        began, cpu = time.perf_counter(), self.cpu()
        work()
        seconds = time.perf_counter() - began
        self.line(what, seconds, self.cpu() - cpu)
        return seconds

    def line(self, what: str, seconds: float, cpu: float) -> None:
        """Print one line of the table."""
        print(f"{what:44} {seconds:7.2f} s {cpu:7.2f} s {self.megabytes():7.0f} MB", flush=True)

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def main() -> None:
    """Measure, print, and exit with 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=Path("bench-data"))
    given = parser.parse_args()
    workspace = prepare(given.folder, given.rows, given.images)
    print(f"{given.rows:,} samples, {given.images:,} images\n")
    print(f"{'':44} {'wall':>9} {'CPU':>9} {'peak so far':>10}")
    opens = min(first_rows(workspace) for _ in range(3))
    viewed = Viewed(workspace)
    try:
        over_http(viewed, given.rows)
        if chromium():
            in_chromium(viewed)
        else:
            print(MISSING)
        peak = viewed.megabytes()
    finally:
        viewed.stop()
    print(f"\nopens in {opens:.2f} s, best of 3 (the bar: {OPENS} s)")
    print(f"at most {peak:.0f} MB (the bar: {MEMORY:.0f} MB)")
    sys.exit(int(opens > OPENS or peak > MEMORY))


def first_rows(workspace: Path) -> float:
    """Seconds from the start of a process to a page with rows."""
    viewed = Viewed(workspace)
    try:
        assert 'class="card"' in viewed.get("/")
        seconds = viewed.since_start()
        viewed.line("start to first rows, over HTTP", seconds, viewed.cpu())
    finally:
        viewed.stop()
    return seconds


def over_http(viewed: Viewed, rows: int) -> None:
    """Each thing that a user does in the grid."""
    last = rows // 4 - 1
    text = f"trace {rows - 2} begins"
    pages = {
        "first page": "/d/samples",
        "first page again, while values are counted": "/d/samples",
        "middle page": f"/d/samples?page={rows // 48}",
        "last page": f"/d/samples?page={-(-rows // 24)}",
        "sort by tokens": "/d/samples?sort=completion_tokens&down=1",
        "sort by question": "/d/samples?sort=question",
        "sort by question, last page": f"/d/samples?sort=question&page={-(-rows // 24)}",
        "filter by verdict": "/d/samples?is.verdict=wrong",
        "SQL where": "/d/samples?where=" + _q("completion_tokens > 590 and source = 'source3'"),
        "SQL where over responses": "/d/samples?where=" + _q("response like '%zebra%'"),
        "free text, found in one row": "/d/samples?q=" + _q(text),
        "free text, found in every row": "/d/samples?q=begins",
        "jump to an id": f"/d/samples/find?id={item_of(last)[:12]}",
        "open a row": f"/d/samples/row/{item_of(last // 2)}?sample=1",
        "a row's history": f"/d/samples/path/{item_of(last // 2)}",
    }
    for what, path in pages.items():
        viewed.timed(what, lambda path=path: viewed.get(path))  # type: ignore[misc]
    images = re.findall(r"/thumb/([0-9a-f]{64})", viewed.get("/d/samples?sort=answer"))
    viewed.timed(
        f"{len(images)} small images", lambda: [viewed.get_bytes(f"/thumb/{i}") for i in images]
    )


def in_chromium(viewed: Viewed) -> None:
    """What a user waits for."""
    painted = "() => document.querySelector('.pic img')?.naturalWidth > 0"
    with opened() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")

        def first_image() -> None:
            page.goto(viewed.address + "/", wait_until="commit")
            page.wait_for_function(painted)

        viewed.timed("in Chromium: first image", first_image)
        viewed.timed("in Chromium: a row", lambda: page.locator(".card").nth(5).click())
        viewed.timed("in Chromium: the next row", lambda: page.locator("[rel=next]").click())


def _q(text: str) -> str:
    return urllib.parse.quote(text)


if __name__ == "__main__":
    main()
