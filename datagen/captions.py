"""vlt gen captions: describe each item's images in words, for a reasoner that cannot see them.

Paper, section 4.1: Qwen2.5-VL-3B-Instruct, as detailed as possible. Items with the same images
share the caption, unless the prompt holds the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.datagen.asking import CAPTIONS, Asking
from vlt.datagen.generate import Ask
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.images.pixels import sized
from vlt.prompts import render
from vlt.request import Completion, Message
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

READS = ("question", "choices", "images")


def make_captions(
    workspace: Workspace,
    items: Dataset,
    model: Model,
    asking: Asking = CAPTIONS,
    *,
    name: str = "captions",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """Items with their captions; returns the version and whether it was there already.

    An item without an image, or whose request fails, stands among the dropped rows with the reason.
    """
    if asking.k != 1:
        raise UsageError(f"captions take one answer a row, and k is {asking.k}; leave k out")
    ask, size = Ask(workspace, model, asking), model.size
    stage = Stage("gen captions", ask.parameters())
    parents = ask.parents(items)
    if found := ask.found(name, stage, parents):
        return found, True

    def messages(row: dict[str, Any]) -> Sequence[Message] | str:
        return (
            render(asking.prompt, sized(row, size), images=True)
            if row["images"]
            else "the item has no image"
        )

    label = ask.label()
    with Writer(workspace, stage, name, "caption", parents, round=round) as writer:
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
