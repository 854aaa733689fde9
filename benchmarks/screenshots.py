"""Takes the README's pictures from a workspace: `vlt view` and `vlt report` in a headless Chromium.

    make demo                                          # makes vlt-demo
    python -m benchmarks.screenshots vlt-demo          # docs/view.png, docs/report.png

The workspace is not changed. Fails if a picture is larger than 300 kB, which is too much for a README.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.browser import opened
from benchmarks.view import Viewed

WIDTH = 1100
GRID, ROW, REPORT = 640, 1000, 1300
"""Height of each picture in pixels."""
GAP = 14
LARGEST = 300_000
COLOURS = 256


def main() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--to", type=Path, default=Path("docs"))
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with opened() as browser:
        write(given.to / "view.png", view_pictures(browser, given.workspace))
        write(given.to / "report.png", [report_picture(browser, given.workspace)])


def view_pictures(browser: Any, workspace: Path) -> list[Image.Image]:
    """What the filters dropped from the newest sft, and one of its items."""
    viewed = Viewed(workspace, "sft")
    try:
        return [
            picture(browser, viewed.address + "/d/sft?dropped=1", GRID),
            picture(browser, viewed.address + telling_row(viewed), ROW),
        ]
    finally:
        viewed.stop()


def telling_row(viewed: Viewed) -> str:
    """The URL of an item that has correct and wrong samples."""
    for found in re.findall(r'class="card" href="([^"]+)"', viewed.get("/d/sft?dropped=1")):
        page = viewed.get(unescape(found))
        if "verdict correct" in page and "verdict wrong" in page:
            return unescape(found)
    sys.exit("none of the first rows has both correct and wrong samples")


def report_picture(browser: Any, workspace: Path) -> Image.Image:
    """The top of the newest run's report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        command = ["-m", "vlt.cli.main", "report", "-w", str(workspace), "--to", str(file)]
        safe = {**os.environ, "PYTHONSAFEPATH": "1"}
        subprocess.run([sys.executable, *command], check=True, env=safe)
        return picture(browser, file.as_uri(), REPORT)


def picture(browser: Any, address: str, height: int) -> Image.Image:
    """The top of a page, fully loaded."""
    page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme="light")
    try:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    finally:
        page.close()


def write(file: Path, pictures: list[Image.Image]) -> None:
    """Stack the pictures, with a small palette: enough for a page, in a third of the bytes."""
    height = sum(p.height for p in pictures) + GAP * (len(pictures) - 1)
    whole = Image.new("RGB", (WIDTH, height), "#c9c9c9")
    top = 0
    for each in pictures:
        whole.paste(each, (0, top))
        top += each.height + GAP
    few = whole.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    size = file.stat().st_size
    print(f"{file}: {size / 1000:.0f} kB")
    if size > LARGEST:
        sys.exit(f"{file} has {size:,} bytes, more than {LARGEST:,}")


if __name__ == "__main__":
    main()
