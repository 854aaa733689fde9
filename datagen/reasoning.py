"""vlt gen reasoning: k chains of thought for each captioned item, by a model that reads only text.

Paper, section 4.1: DeepSeek-R1-Distill-Qwen-14B with the caption in the image's place, k = 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from vlt.datagen.generate import Ask, Asking
from vlt.datagen.paper_prompts import REASONING
from vlt.datagen.samples import make_samples
from vlt.prompts import Prompt, render
from vlt.request import Message, Sampling
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store

READS = ("question", "choices", "caption")
K = 4
SAMPLING = Sampling(temperature=0.6, top_p=0.95, max_tokens=8192)
"""As DeepSeek advises for the R1 distillations."""


def make_reasoning(
    store: Store,
    captions: Dataset,
    *,
    prompt: Prompt = REASONING,
    sampling: Sampling = SAMPLING,
    k: int = K,
    name: str = "samples",
    round: int | None = None,
    **asking: Unpack[Asking],
) -> tuple[Dataset, bool]:
    """k samples of each caption, or more with `until`; (the version, whether it was there already)."""
    ask = Ask(sampling=sampling, k=k, **asking)
    stage = Stage("gen reasoning", {**ask.parameters(), "prompt": prompt.as_json()})

    def messages(row: dict[str, Any]) -> Sequence[Message]:
        return render(prompt, row, images=False)

    return make_samples(store, stage, captions, ask, messages, READS, name=name, round=round)
