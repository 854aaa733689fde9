"""vlt gen rollouts: k responses to each item by a model that sees its images.

Paper, section 4.3: from round 2 on, the GRPO checkpoint of the round before writes the SFT data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datagen.adaptive import UntilCorrect
from datagen.ask import Ask, Progress
from datagen.prompts import ROLLOUT
from datagen.samples import make_samples
from vlt.engine import Engine
from vlt.engine.money import Price
from vlt.engine.pixels import Pixels, sized
from vlt.journal import Journal
from vlt.prompts import Prompt, render
from vlt.request import Message, Sampling
from vlt.stage import Stage
from vlt.store import Dataset, Store

READS = ("question", "choices", "images")
K = 4
SAMPLING = Sampling(temperature=1.0, top_p=0.99, max_tokens=2048)
"""Paper, table 8: the rollouts of GRPO."""


def make_rollouts(
    store: Store,
    items: Dataset,
    *,
    model: str,
    engine: Callable[[], Engine],
    journal: Journal,
    prompt: Prompt = ROLLOUT,
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
    pixels: Pixels | None = None,
    retry_failed: bool = False,
) -> tuple[Dataset, bool]:
    """k samples of each item, or more with `until`; (the version, whether it was there already)."""
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
        pixels=pixels,
        until=until,
        retry_failed=retry_failed,
    )
    stage = Stage("gen rollouts", {**ask.parameters(), "prompt": prompt.as_json()})

    def messages(row: dict[str, Any]) -> Sequence[Message]:
        return render(prompt, sized(row, pixels), images=True)

    return make_samples(store, stage, items, ask, messages, READS, name=name, round=round)
