"""vlt gen reasoning: k chains of thought for each captioned item, by a model that reads only text.

Paper, section 4.1: DeepSeek-R1-Distill-Qwen-14B with the caption in the image's place, k = 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datagen.adaptive import UntilCorrect
from datagen.ask import Ask, Progress
from datagen.prompts import REASONING
from datagen.samples import make_samples
from vlt.engine import Engine
from vlt.engine.money import Price
from vlt.journal import Journal
from vlt.prompts import Prompt, render
from vlt.request import Message, Sampling
from vlt.stage import Stage
from vlt.store import Dataset, Store

READS = ("question", "choices", "caption")
K = 4
SAMPLING = Sampling(temperature=0.6, top_p=0.95, max_tokens=8192)
"""As DeepSeek advises for the R1 distillations."""


def make_reasoning(
    store: Store,
    captions: Dataset,
    *,
    model: str,
    engine: Callable[[], Engine],
    journal: Journal,
    prompt: Prompt = REASONING,
    sampling: Sampling = SAMPLING,
    k: int = K,
    until: UntilCorrect | None = None,
    revision: str | None = None,
    limit: int | None = None,
    name: str = "samples",
    round: int | None = None,
    progress: Progress | None = None,
    price: Price | None = None,
    probe: int | None = None,
    retry_failed: bool = False,
) -> tuple[Dataset, bool]:
    """k samples of each caption, or more with `until`; (the version, whether it was there already)."""
    ask = Ask(
        model,
        journal,
        engine,
        sampling,
        k,
        revision=revision,
        limit=limit,
        progress=progress,
        price=price,
        probe=probe,
        until=until,
        retry_failed=retry_failed,
    )
    stage = Stage("gen reasoning", {**ask.parameters(), "prompt": prompt.as_json()})

    def messages(row: dict[str, Any]) -> Sequence[Message]:
        return render(prompt, row, images=False)

    return make_samples(store, stage, captions, ask, messages, READS, name=name, round=round)
