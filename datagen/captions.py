"""vlt gen captions: describe each item's images in words, for a reasoner that cannot see them.

Paper, section 4.1: Qwen2.5-VL-3B-Instruct, as detailed as possible. Items with the same images
share the caption, unless the prompt contains the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.datagen.answers import Failures, Tokens
from vlt.datagen.asking import CAPTIONS, Asking
from vlt.datagen.generate import Ask
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.images.pixels import sized
from vlt.prompts import check_slots, render
from vlt.request import Completion, Message
from vlt.thinking import after_thought
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
    """Items with their captions; returns the version and whether it existed already.

    A caption is the response without the model's thought. An item without an image, or whose request
    fails, or whose caption is empty or cut, is among the dropped rows with the reason.
    """
    if asking.k != 1:
        raise UsageError(f"captions take one answer per row, but k is {asking.k}; leave k out")
    asking.refuse("captions", "images", "shuffle_choices")
    check_slots(asking.prompt, needs=None, takes=("question",))
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

    label, spent, failures = ask.label(), Tokens(), Failures()
    with Writer(workspace, stage, name, "caption", parents, round=round) as writer:
        for rows, answers, tokens in ask.answers(items, messages, READS, no_caption):
            writer.expect(rows)
            got = [a for [a] in answers if isinstance(a, Completion)]
            reasons = [a for [a] in answers if isinstance(a, str)]
            answered = pa.array([isinstance(a, Completion) for [a] in answers], pa.bool_())
            kept = rows.filter(answered)
            for column, values in {
                "caption": [after_thought(c.response) for c in got],
                "caption_model": [label] * len(got),
                "caption_finish_reason": [c.finish_reason for c in got],
            }.items():
                kept = kept.append_column(column, pa.array(values, pa.string()))
            writer.keep(kept)
            writer.fail(rows.filter(pc.invert(answered)), reasons)
            failures.add(writer, reasons)
            spent += tokens
        failures.check(writer)
        writer.facts |= ask.facts
        writer.count_tokens(spent.read, spent.written, ask.cost(spent))
    return writer.dataset, False


def no_caption(completion: Completion) -> str | None:
    """Why a response is not a caption; None if it is one."""
    if completion.finish_reason == "length":
        return "the caption was cut at the limit of its tokens; a larger --max-tokens gives it room"
    if not completion.response.strip():
        return "the caption is empty"
    if not after_thought(completion.response):
        return "the model wrote a thought and no caption"
    return None
