"""vlt gen rollouts: k responses to each item from a model that sees its images.

Paper, section 4.3: from round 2 on, the GRPO checkpoint of the round before writes the SFT data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlt.datagen.asking import ROLLOUTS, Asking
from vlt.datagen.generate import Ask
from vlt.datagen.samples import as_asked, make_samples
from vlt.datagen.shown import Shown
from vlt.engine.model import Model
from vlt.images.pixels import sized
from vlt.prompts import check_slots, render
from vlt.request import Message
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

READS = ("question", "choices", "images")


def make_rollouts(
    workspace: Workspace,
    items: Dataset,
    model: Model,
    asking: Asking = ROLLOUTS,
    *,
    name: str = "samples",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """k samples of each item, or more with `until_correct`; (version, whether it existed already)."""
    check_slots(asking.prompt, needs="question", takes=("question",))
    ask, size = Ask(workspace, model, asking), model.size
    stage = Stage("gen rollouts", ask.parameters())
    shown = None if asking.images == "own" else Shown(workspace, items, asking.images)

    def messages(row: dict[str, Any]) -> Sequence[Message] | str:
        if shown:
            images = shown.of(row)
            if isinstance(images, str):
                return images
            row = {**row, "images": images}
        return render(asking.prompt, sized(as_asked(row, asking), size), images=True)

    reads = (*READS, "id") if shown else READS
    return make_samples(stage, items, ask, messages, reads, shown=shown, name=name, round=round)
