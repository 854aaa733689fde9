"""Speed and memory of `vlt import`, compared with copying and hashing the files.

    python -m benchmarks.import [--items 50000] [--kilobytes 30] [--folder DIR]

Draws photograph-like JPEGs, all different, into DIR (kept between runs of the same size), then
1. copies every file and computes its sha256, as a single-threaded script would (shutil.copy2, hashlib);
2. imports them with the command as a user runs it, which uses all cores.
Prints items per second and CPU of both, the ratio of their times (the bar is 0.5), the peak memory of the
import with its worker processes (the bar is 600 MB), and whether a bar is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measured import Cost, run_measured


def photograph(rng: np.random.Generator, kilobytes: float) -> bytes:
    """A JPEG of about this size, with smooth colours and some grain."""
    side = int(92 * kilobytes**0.5)
    small = rng.integers(0, 255, (9, 12, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((side * 4 // 3 // 4 * 4, side), Image.Resampling.BICUBIC)
    grain = rng.integers(-5, 6, (smooth.height, smooth.width, 1), dtype=np.int16)
    noisy = (np.asarray(smooth, np.int16) + grain).clip(0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=75)
    return out.getvalue()


def draw(folder: Path, items: int, kilobytes: float) -> int:
    """Write the files and rows.jsonl; returns the bytes of the images."""
    pictures, size = folder / "pictures", 0
    pictures.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    originals = [photograph(rng, kilobytes) for _ in range(200)]
    with open(folder / "rows.jsonl", "w") as rows:
        for i in range(items):
            # A comment in the JPEG makes the same picture another file, with another sha256.
            data = originals[i % len(originals)]
            comment = f"picture {i:09d}".encode()
            marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
            path = pictures / f"{i % 100:02d}" / f"{i}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data[:2] + marker + data[2:])
            size += path.stat().st_size
            row = {
                "image": str(path.relative_to(folder)),
                "problem": f"How many, in {i}?",
                "answer": str(i % 9),
            }
            rows.write(json.dumps(row) + "\n")
    return size


def copy_and_hash(folder: Path, to: Path) -> Cost:
    """Copy every file and compute its sha256, one by one."""
    os.sync()
    started, cpu = time.perf_counter(), time.process_time()
    for path in sorted((folder / "pictures").rglob("*.jpg")):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        with open(target, "rb") as opened:
            hashlib.file_digest(opened, "sha256").hexdigest()
    return Cost(time.perf_counter() - started, time.process_time() - cpu, 0.0)


def import_them(folder: Path, workspace: Path) -> Cost:
    """What `vlt import` costs, in a separate process."""
    os.sync()
    command = [sys.executable, "-m", "vlt.cli.main", "import", str(folder / "rows.jsonl")]
    return run_measured([*command, "-w", str(workspace)], {"PYTHONSAFEPATH": "1"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--kilobytes", type=float, default=30)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlt-import-") as temporary:
        folder = options.folder or Path(temporary) / "source"
        size = draw(folder, options.items, options.kilobytes)
        kilobytes = size / options.items / 1e3
        print(f"{options.items:,} images of {kilobytes:.1f} kB on {os.cpu_count()} cores")
        copied = copy_and_hash(folder, Path(temporary) / "copy")
        shutil.rmtree(Path(temporary) / "copy")
        imported = import_them(folder, Path(temporary) / "workspace")
    for what, cost in (("copy and hash", copied), ("vlt import", imported)):
        print(
            f"{what:14} {cost.seconds:7.1f} s  {options.items / cost.seconds:8,.0f} items/s  "
            f"{1e3 * cost.cpu / options.items:.2f} ms CPU per item"
        )
    ratio = copied.seconds / imported.seconds
    print(f"ratio {ratio:.2f} (bar 0.5{'' if ratio >= 0.5 else ', MISSED'})")
    memory = imported.megabytes
    print(f"peak memory {memory:,.0f} MB (bar 600{'' if memory <= 600 else ', MISSED'})")


if __name__ == "__main__":
    main()
