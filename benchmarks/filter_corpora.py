"""The data of the filter benchmark: samples, texts with duplicates, images and their copies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.corpus import Texts, free_text, template_text, vocabulary
from benchmarks.pictures import FAMILIES, bars, changed, copies, cropped, encoded
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import SAMPLE
from vlt.workspace.store import Store
from vlt.workspace.writer import Writer

GROUP = 10_000
CHARTS = 10_000
PICTURES = 200
"""Per kind and family."""
HELD_OUT, TEXTS = "held-out", "texts"
EXPORTED = "exported"
SEEDS = {"tuned": 101, "held_out": 202}


def prepare(folder: Path, rows: int) -> None:
    """Make the corpora that do not exist yet; templates have at most 100,000 rows. Exports are removed."""
    shutil.rmtree(folder / EXPORTED, ignore_errors=True)
    if not (folder / "workspace" / "datasets" / "samples").exists():
        make_samples(folder, rows)
    if not (folder / "workspace" / "datasets" / HELD_OUT).exists():
        make_samples(folder, min(rows // 10, 10_000), HELD_OUT, seed=1)
    if not (folder / "workspace" / "datasets" / TEXTS).exists():
        make_samples(folder, rows, TEXTS, images=0)
    if not (folder / "images.json").exists():
        made = make_charts(folder, min(rows // 10, CHARTS))
        made += make_pictures(folder, max(10, min(rows // 500, PICTURES)))
        (folder / "images.json").write_text(json.dumps(made))
    for kind, write, size in (
        ("text", free_text, rows),
        ("templates", template_text, min(rows, 100_000)),
    ):
        if not (folder / kind / "truth.parquet").exists():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write(size, folder / kind, np.random.default_rng(0))


def make_samples(
    folder: Path, rows: int, name: str = "samples", *, seed: int = 0, images: int = 1
) -> None:
    """A dataset: four traces of about 300 words per question, 60 % of them correct.

    Two in five have a reflection, one in twenty mentions the caption, one in fifty repeats itself.
    """
    rng = np.random.default_rng(seed)
    words, texts = vocabulary(rng), Texts(min(rows, 100_000), rng)
    stage = Stage("gen reasoning", {"benchmark": rows, "seed": seed, "images": images})
    with Writer(Store(folder / "workspace"), stage, name, "sample") as writer:
        for start in range(0, rows, GROUP):
            table = _samples(start, min(GROUP, rows - start), words, texts, rng, images)
            writer.expect(table)
            writer.keep(table)


def _samples(
    start: int, rows: int, words: pa.Array, texts: Texts, rng: Any, images: int
) -> pa.Table:
    drawn = [texts[int(i)] for i in rng.integers(0, len(texts.offsets) - 1, rows)]
    traces = []
    for number, numbers in enumerate(drawn):
        parts = words.take(pa.array(numbers)).to_pylist()
        half = len(parts) // 2
        if number % 5 < 2:
            parts.insert(half, "Wait, let me check.")
        if number % 20 == 7:
            parts.insert(0, "Based on the caption, this is clear.")
        if number % 50 == 13:
            parts += ["and so it is the same as it was before"] * 20
        traces.append(" ".join(parts))
    ids = [f"{(start + i) // 4:032x}" for i in range(rows)]
    responses = [f"<think>{trace}</think>\n<answer>4</answer>" for trace in traces]
    columns: dict[str, Any] = {
        "id": ids,
        "source": [f"source{(start + i) // 4 % 6}" for i in range(rows)],
        "question": [f"What is the number of item {(start + i) // 4}?" for i in range(rows)],
        "choices": [[] for _ in range(rows)],
        "answer": ["4"] * rows,
        "answer_type": ["integer"] * rows,
        "images": [[f"{(start + i) // 4:064x}"] * images for i in range(rows)],
        "meta": ["{}"] * rows,
        "sample": [(start + i) % 4 for i in range(rows)],
        "response": responses,
        "reasoning": traces,
        "predicted": ["4"] * rows,
        "finish_reason": ["stop"] * rows,
        "completion_tokens": [400] * rows,
        "model": ["benchmark"] * rows,
        "verdict": np.where(rng.random(rows) < 0.6, "correct", "wrong").tolist(),
    }
    missing = {name: pa.nulls(rows, SAMPLE.field(name).type) for name in SAMPLE.names}
    arrays = {name: pa.array(values, SAMPLE.field(name).type) for name, values in columns.items()}
    return pa.table({**missing, **arrays}, schema=SAMPLE)


def make_charts(folder: Path, count: int) -> list[dict[str, Any]]:
    """Charts, every other one differing from the previous one in one bar, and copies of a tenth of them.

    A group of images is {"group", "names": [sha256], "copies": [[how, sha256 of the copy, of the
    image]]}.
    """
    rng, values = np.random.default_rng(0), [0]
    with ImageStore(folder / "images") as images:
        group: dict[str, Any] = {"group": "charts", "names": [], "copies": []}
        for number in range(count):
            if number % 2:
                values = changed(rng, values, 5, 95, 4)
            else:
                values = rng.integers(5, 95, int(rng.integers(3, 8))).tolist()
            _add(images, group, bars(values), with_copies=number % 10 == 0)
    return [group]


def make_pictures(folder: Path, count: int) -> list[dict[str, Any]]:
    """`count` images of each kind in both families, each with a changed one; copies of all of them."""
    groups = []
    with ImageStore(folder / "images") as images:
        for family, kinds in FAMILIES.items():
            rng = np.random.default_rng(SEEDS[family])
            for kind, draw in kinds.items():
                group: dict[str, Any] = {"group": f"{family}: {kind}", "names": [], "copies": []}
                for _ in range(count):
                    one, other = draw(rng)
                    _add(images, group, one, with_copies=True)
                    _add(images, group, other, with_copies=False)
                groups.append(group)
    return groups


def _add(images: ImageStore, group: dict[str, Any], picture: Any, *, with_copies: bool) -> None:
    name = images.add(encoded(picture))
    group["names"].append(name)
    if with_copies:
        for how, data in (*copies(picture), ("cropped by 2 %", cropped(picture))):
            group["copies"].append([how, images.add(data), name])
