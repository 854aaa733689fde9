"""The workspace for the benchmark of `vlt view`: many samples of 300 words, with photographs."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.corpus import Texts, vocabulary
from vlt.images.store import ImageStore
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import KINDS
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

GROUP = 10_000
SAMPLES = 4
"""Per item."""
KILOBYTES = 30.0
TEXTS = 50_000
"""Different texts; each is used for several rows, with different numbers in front."""
Rng = np.random.Generator


def item_of(number: int) -> str:
    """The id of an item."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def prepare(folder: Path, rows: int, images: int) -> Path:
    """The workspace with this many samples and different images; made unless it exists."""
    workspace = folder / f"view-{rows}-{images}"
    store = Store(workspace)
    if store.versions("samples"):
        return workspace
    rng = np.random.default_rng(0)
    pictures = _pictures(store, images)
    words, texts = vocabulary(rng), Texts(min(rows, TEXTS), rng)
    items = _write(store, "items", "item", rows // SAMPLES, 1, [], (pictures, words, texts, rng))
    _write(store, "samples", "sample", rows, SAMPLES, [items], (pictures, words, texts, rng))
    return workspace


def _pictures(store: Store, count: int) -> list[str]:
    """Their sha256; photograph-like images, no two the same."""
    photograph = importlib.import_module("benchmarks.import").photograph  # `import` is a keyword
    rng = np.random.default_rng(1)
    with ImageStore(store.images_folder) as kept:
        return [kept.add(photograph(rng, KILOBYTES)) for _ in range(count)]


def _write(
    store: Store,
    name: str,
    kind: str,
    rows: int,
    each: int,
    parents: list[Dataset],
    material: tuple[list[str], pa.Array, Texts, Rng],
) -> Dataset:
    with Writer(store, Stage("benchmark", {"rows": rows}), name, kind, parents) as writer:
        for start in range(0, rows, GROUP):
            table = _rows(np.arange(start, min(start + GROUP, rows)), each, *material)
            table = table.select(KINDS[kind].names).cast(KINDS[kind])
            writer.expect(table)
            writer.keep(table)
    return writer.dataset


def _rows(
    numbers: np.ndarray, each: int, pictures: list[str], words: pa.Array, texts: Texts, rng: Rng
) -> pa.Table:
    """The samples with these numbers, `each` of them per item."""
    items, count = numbers // each, len(numbers)
    answers = [str(int(item) * 7919 % 1000) for item in items]
    # The numbers distinguish a text from its copies, so that a search can find one row.
    traces = pc.binary_join_element_wise(
        pa.array([f"Trace {n} begins." for n in numbers]),
        _sentences([texts[int(n)] for n in numbers % (len(texts.offsets) - 1)], words),
        " ",
    )
    right = rng.random(count) < 0.6
    said = pa.array([f"</think>\nSo it is <answer>{answer}</answer>" for answer in answers])
    columns = {
        "id": [item_of(int(item)) for item in items],
        "source": [f"source{item % 6}" for item in items],
        "question": [f"What is the number that belongs to picture {item}?" for item in items],
        "choices": [[]] * count,
        "answer": answers,
        "answer_type": ["integer"] * count,
        "images": [[pictures[int(item) % len(pictures)]] for item in items],
        "meta": [f'{{"place": {item}}}' for item in items],
        "sample": numbers % each,
        "response": pc.binary_join_element_wise("<think>", traces, said, ""),
        "reasoning": traces,
        "predicted": [a if good else a + "1" for a, good in zip(answers, right, strict=True)],
        "finish_reason": ["stop"] * count,
        "prompt_tokens": rng.integers(200, 400, count),
        "completion_tokens": rng.integers(150, 600, count),
        "model": ["benchmark"] * count,
        "verdict": np.where(right, "correct", "wrong").tolist(),
    }
    schema = KINDS["sample"]
    missing = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
    arrays = {
        name: pa.array(values).cast(schema.field(name).type) for name, values in columns.items()
    }
    return pa.table({**missing, **arrays}, schema=schema)


def _sentences(rows: list[np.ndarray], words: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    flat = words.take(pa.array(np.concatenate(rows)))
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), flat), " ")
