"""vlt gen rollouts: k responses to each item by a model that sees its images.

Paper, section 4.3: from round 2 on, the GRPO checkpoint of the round before writes the SFT data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from vlt.datagen.generate import Ask, Asking
from vlt.datagen.paper_prompts import ROLLOUT
from vlt.datagen.samples import make_samples
from vlt.images.pixels import sized
from vlt.prompts import Prompt, render
from vlt.request import Message, Sampling
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store

READS = ("question", "choices", "images")
K = 4
SAMPLING = Sampling(temperature=1.0, top_p=0.99, max_tokens=2048)
"""Paper, table 8: the rollouts of GRPO."""


def make_rollouts(
    store: Store,
    items: Dataset,
    *,
    prompt: Prompt = ROLLOUT,
    sampling: Sampling = SAMPLING,
    k: int = K,
    name: str = "samples",
    round: int | None = None,
    **asking: Unpack[Asking],
) -> tuple[Dataset, bool]:
    """k samples of each item, or more with `until`; (the version, whether it was there already)."""
    ask = Ask(sampling=sampling, k=k, **asking)
    stage = Stage("gen rollouts", {**ask.parameters(), "prompt": prompt.as_json()})

    def messages(row: dict[str, Any]) -> Sequence[Message]:
        return render(prompt, sized(row, ask.pixels), images=True)

    return make_samples(store, stage, items, ask, messages, READS, name=name, round=round)
