"""What the second miniature's models can do and what they never do, on held-out layouts.

    python -m vlt.datagen.miniature.gates_glance recipes/miniature-glance

Reads the saved folders as the loop does, in float32. Prints one line per gate and exits with 1 when
one is missed. That the base never scans of its own accord is measured twice: by the probability of
the word that every scan starts with, and by drawing 64 answers to each of some items.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlt.datagen.miniature import tiny_models as models
from vlt.datagen.miniature.gates import (
    answer_of,
    checked,
    generate,
    inputs_of,
    measured,
    pictures_of,
)
from vlt.datagen.miniature.world import Layout, caption

CAREFUL = "Check"
"""The first word of every careful trace, and of no other."""
PROBABLE_AT_MOST = 2e-4
"""Of that word, on average: in 64 answers one time in eighty."""
DRAWN = 64
SCANS_AT_LEAST = 0.8
KNOWN_AT_LEAST = 0.9
LACKING_BETWEEN = (0.4, 0.8)


def probability_of_care(model: Any, processor: Any, rows: Sequence[dict[str, Any]]) -> list[float]:
    """How probable it is, item by item, that a thought about the picture starts with CAREFUL."""
    import torch

    (word,) = processor.tokenizer(CAREFUL)["input_ids"]
    inputs = inputs_of(processor, _prompts(rows), pictures_of(rows), begun="<think>")
    with torch.inference_mode():
        scores = model(**inputs).logits[:, -1]
    found: list[float] = scores.softmax(-1)[:, word].tolist()
    return found


def _prompts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [models.THINK_PROMPT.format(question=row["question"]) for row in rows]


def measure(folder: Path, n: int, seed: int = 0) -> dict[str, float]:
    """Every figure, by name, on n held-out items of all kinds."""
    processor, vlm, tokenizer, reasoner, rows, pictures = measured(folder, n, seed)
    figures: dict[str, float] = {}

    figures["probability of a scan"] = sum(probability_of_care(vlm, processor, rows)) / n
    some = rows[:16]
    drawn = generate(vlm, processor, _prompts(some) * DRAWN, pictures[:16] * DRAWN, 1.0)
    figures[f"scans in {len(drawn):,} answers"] = sum(CAREFUL in text for text in drawn)
    glances = generate(vlm, processor, _prompts(rows), pictures, temperature=1.0)
    figures["base asked to think"] = _right(rows, [answer_of(text) for text in glances])

    asked = [models.SCAN_PROMPT.format(question=row["question"]) for row in rows]
    ends = [re.findall(r"\w+", scan)[-1:] for scan in generate(vlm, processor, asked, pictures)]
    figures["scan when it is told to"] = _right(rows, [end[0] if end else None for end in ends])

    written = generate(vlm, processor, [models.CAPTION_PROMPT] * n, pictures, temperature=1.0)
    lacking = ["?" in text for text in written]
    figures["captions lacking a cell"] = sum(lacking) / n
    layouts = [Layout.parse(row["meta"]["layout"]) for row in rows]
    known = [
        text in {caption(layout), *(caption(layout, i) for i in range(6))}
        for text, layout in zip(written, layouts, strict=True)
    ]
    figures["captions right in what they say"] = sum(known) / n

    prompts = [
        models.REASON_PROMPT.format(caption=text, question=row["question"])
        for text, row in zip(written, rows, strict=True)
    ]
    traces = generate(reasoner, tokenizer, prompts, temperature=1.0, max_new_tokens=128)
    for name, part in (("complete", False), ("lacking", True)):
        of_part = [i for i in range(n) if lacking[i] is part]
        texts = [traces[i] for i in of_part]
        some_rows = [rows[i] for i in of_part]
        figures[f"reasoner, {name}: right"] = _right(some_rows, [answer_of(t) for t in texts])
        figures[f"reasoner, {name}: scans"] = sum(CAREFUL in t for t in texts) / len(texts)
        figures[f"reasoner, {name}: muses"] = sum("Wait," in t for t in texts) / len(texts)
        figures[f"reasoner, {name}: words"] = sum(len(t.split()) for t in texts) / len(texts)
    return figures


def _right(rows: Sequence[dict[str, Any]], said: Sequence[str | None]) -> float:
    return sum(row["answer"] == one for row, one in zip(rows, said, strict=True)) / len(rows)


def missed(figures: dict[str, float]) -> list[str]:
    """The gates that these figures do not pass."""
    out = []
    if figures["probability of a scan"] > PROBABLE_AT_MOST:
        out.append(f"the base may start a scan with a probability of at most {PROBABLE_AT_MOST}")
    if figures["scan when it is told to"] < SCANS_AT_LEAST:
        out.append(f"scans of the picture must be right in at least {SCANS_AT_LEAST}")
    if figures["captions right in what they say"] < KNOWN_AT_LEAST:
        out.append(f"captions must be right in what they say in at least {KNOWN_AT_LEAST}")
    low, high = LACKING_BETWEEN
    if not low <= figures["captions lacking a cell"] <= high:
        out.append(f"between {low} and {high} of the captions must lack a cell")
    if figures["reasoner, complete: muses"] > 0.1 or figures["reasoner, lacking: muses"] < 0.5:
        out.append("the reasoner must muse where a cell is lacking, and only there")
    return out


def main() -> int:
    return checked(__doc__, 420, measure, missed)


if __name__ == "__main__":
    sys.exit(main())
