"""vlt gen captions: describe each item's images in words, for a reasoner that cannot see them.

Paper, section 4.1: Qwen2.5-VL-3B-Instruct, as detailed as possible. Items with the same images
share the caption, unless the prompt holds the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import pyarrow as pa
import pyarrow.compute as pc

from vlt.datagen.generate import Ask, Asking
from vlt.datagen.paper_prompts import CAPTION
from vlt.images.pixels import sized
from vlt.prompts import Prompt, render
from vlt.request import Completion, Message, Sampling
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

READS = ("question", "choices", "images")
SAMPLING = Sampling(temperature=0.0, max_tokens=1024)


def make_captions(
    store: Store,
    items: Dataset,
    *,
    prompt: Prompt = CAPTION,
    sampling: Sampling = SAMPLING,
    name: str = "captions",
    round: int | None = None,
    **asking: Unpack[Asking],
) -> tuple[Dataset, bool]:
    """Items with their captions; returns the version and whether it was there already.

    An item without an image, or whose request fails, stands among the dropped rows with the reason.
    """
    ask = Ask(sampling=sampling, **asking)
    stage = Stage("gen captions", {**ask.parameters(), "prompt": prompt.as_json()})
    parents = ask.parents(store, items)
    if found := ask.found(store, name, stage, parents):
        return found, True

    def messages(row: dict[str, Any]) -> Sequence[Message] | str:
        return (
            render(prompt, sized(row, ask.pixels), images=True)
            if row["images"]
            else "the item has no image"
        )

    label = ask.label(store)
    with Writer(store, stage, name, "caption", parents, round=round) as writer:
        for rows, answers in ask.answers(items, messages, READS):
            writer.expect(rows)
            got = [a for [a] in answers if isinstance(a, Completion)]
            reasons = [a for [a] in answers if isinstance(a, str)]
            answered = pa.array([isinstance(a, Completion) for [a] in answers], pa.bool_())
            captions = pa.array([c.response for c in got], pa.string())
            models = pa.array([label] * len(got), pa.string())
            kept = rows.filter(answered).append_column("caption", captions)
            writer.keep(kept.append_column("caption_model", models))
            writer.fail(rows.filter(pc.invert(answered)), reasons)
            read, written = sum(c.prompt_tokens for c in got), sum(c.completion_tokens for c in got)
            writer.count_tokens(read, written, ask.cost(read, written))
    return writer.dataset, False
