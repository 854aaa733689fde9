"""vlt gen reasoning: k chains of thought for each captioned item, from a text-only model.

Paper, section 4.1: DeepSeek-R1-Distill-Qwen-14B with the caption in place of the image, k = 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlt.datagen.asking import REASONS, Asking
from vlt.datagen.generate import Ask
from vlt.datagen.samples import as_asked, make_samples
from vlt.engine.model import Model
from vlt.prompts import check_slots, render
from vlt.request import Message
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

READS = ("question", "choices", "caption")


def make_reasoning(
    workspace: Workspace,
    captions: Dataset,
    model: Model,
    asking: Asking = REASONS,
    *,
    name: str = "samples",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """k samples of each caption, or more with `until_correct`; (version, whether it existed already)."""
    asking.refuse("reasoning and other stages over captions", "images")
    check_slots(asking.prompt, needs="question")
    ask = Ask(workspace, model, asking)
    stage = Stage("gen reasoning", ask.parameters())

    def messages(row: dict[str, Any]) -> Sequence[Message]:
        return render(asking.prompt, as_asked(row, asking), images=False)

    return make_samples(stage, captions, ask, messages, READS, name=name, round=round)
