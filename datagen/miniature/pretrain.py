"""Makes the miniature's weights: a tiny captioner/student VLM and a tiny text reasoner.

    python -m vlt.datagen.miniature.pretrain --to recipes/miniature
    python -m vlt.datagen.miniature.gates recipes/miniature -n 400

The two models are trained side by side, each by one single-threaded process: 15-17 minutes on two
otherwise idle cores. Plain PyTorch on examples drawn on the fly from the train split.

The VLM learns to see (a head per visual token), to caption, to scan a picture with running numbers
and to reason over a caption in words; last, and only a little, to think about a picture, where nine
times in ten it takes a quick look. The reasoner learns careful traces first and the mixture of 40 %
careful and 60 % quick ones last.

On 420 held-out items: captions 0.998 exact; scans of the picture 0.85 (sums) to 1.00; reasoner
pass@1 0.60 and pass@4 0.98 on easy questions, 0.54 and 0.93 on hard ones; the base's direct answers
0.18 (easy) and 0.25 (hard), 0.31 and 0.27 when it is asked to think (temperature 1).

The shipped weights were made in these stages from seed 0; the last stage of the
VLM was run on its own, from the saved bfloat16 weights of the stage before.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlt.datagen.miniature.questions import FAMILIES
from vlt.datagen.miniature.training_rows import (
    IMAGE_AT,
    PICTURES,
    VISUAL_TOKENS,
    Example,
    Mixture,
    encode,
    example,
    patches,
)
from vlt.datagen.miniature.world import Layout, sample_layout

BATCH = {"vlm": 32, "reasoner": 64}
EASY = {name: 1.0 for name, family in FAMILIES.items() if family.level == "easy"}
HARD = {name: 1.0 for name, family in FAMILIES.items() if family.level == "hard"}
ALL = EASY | HARD
# Matching colours and adding are what takes longest.
WEIGHTED = ALL | {"shapes-count": 2.0, "table-sum": 1.5}


@dataclass(frozen=True)
class Stage:
    """A stretch of pretraining with one mixture."""

    name: str
    steps: int
    mixture: Mixture


VLM_STAGES = (
    Stage("captions", 400, Mixture({"caption": 1}, {})),
    Stage(
        "scans",
        1300,
        Mixture({"caption": 1, "direct": 0.5, "scan": 5, "trace": 3.5}, WEIGHTED, 0.9),
    ),
    Stage(
        "styles",
        700,
        Mixture({"caption": 1, "direct": 1.5, "scan": 4, "trace": 3.5}, WEIGHTED, 0.4),
    ),
)
# By itself and at a lower rate: what the student does when it is asked to think about a picture.
THINKING = Stage(
    "thinking",
    250,
    Mixture(
        {"caption": 1, "direct": 1, "think": 3, "scan": 3, "trace": 2},
        WEIGHTED,
        careful_share=0.4,
        careful_thought_share=0.1,
    ),
)
REASONER_STAGES = (
    Stage("careful", 1000, Mixture({"trace": 1}, ALL, 0.8)),
    Stage("styles", 500, Mixture({"trace": 1}, ALL, 0.4)),
)


def train_vision(model: Any, steps: int, lr: float, rng: random.Random) -> tuple[float, float]:
    """Teaches the vision tower to tell what is in each cell, and where the cell is.

    With heads on the visual tokens that are thrown away afterwards; returns their last accuracies.
    Learning to see through the language model alone takes many times as long. Where the cell is
    has to be in the token, since mrope turns neighbouring columns by next to nothing.
    """
    import torch

    # What: shapes 0-6, digits 7-15, the two bars of a column 16-51. Where: 0-5.
    width = model.config.text_config.hidden_size
    what, where = torch.nn.Linear(width, 52), torch.nn.Linear(width, VISUAL_TOKENS)
    weights = [*model.model.visual.parameters(), *what.parameters(), *where.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    batch = BATCH["vlm"]
    places = torch.arange(VISUAL_TOKENS).repeat(batch)
    right = [0.0, 0.0]
    for _ in range(steps):
        layouts = [sample_layout(rng.choice(PICTURES), rng, "train") for _ in range(batch)]
        tokens = see(model, layouts).flatten(0, 1)
        cells = torch.tensor([_cell_classes(layout) for layout in layouts]).flatten()
        heads = ((what, cells), (where, places))
        losses: list[Any] = [
            torch.nn.functional.cross_entropy(h(tokens), target) for h, target in heads
        ]
        optimizer.zero_grad()
        (losses[0] + losses[1]).backward()
        optimizer.step()
        schedule.step()
        right = [(h(tokens).argmax(-1) == target).float().mean().item() for h, target in heads]
    return right[0], right[1]


def _cell_classes(layout: Layout) -> list[int]:
    cells = layout.cells
    if layout.picture == "shapes":
        return list(cells)
    if layout.picture == "table":
        return [6 + cell for cell in cells]
    columns = [16 + 6 * (cells[2 * i] - 1) + cells[2 * i + 1] - 1 for i in range(3)]
    return columns * 2


def see(model: Any, layouts: Sequence[Layout]) -> Any:
    """The visual tokens of the pictures, [n, 6, hidden]."""
    import torch

    grid = torch.tensor([[1, 4, 6]]).repeat(len(layouts), 1)
    out = model.model.visual(torch.from_numpy(patches(layouts)), grid_thw=grid).pooler_output
    return out.view(len(layouts), VISUAL_TOKENS, -1)


def token_losses(model: Any, tokenizer: Any, examples: Sequence[Example]) -> tuple[Any, Any]:
    """Mean loss over the completions' tokens, and which completions are right in every token.

    Being right in every token under teacher forcing is being right when decoded greedily.
    """
    import torch

    batch = encode(tokenizer, examples)
    ids, labels = batch["input_ids"], batch["labels"]
    if hasattr(model.model, "visual"):
        text = model.model.language_model
        embeds = text.embed_tokens(ids)
        shown = [row for row, e in enumerate(examples) if e.pictured]
        if shown:
            with torch.no_grad():  # the vision tower is not trained any more
                tokens = see(model, [examples[row].layout for row in shown])
            embeds = embeds.clone()
            embeds[shown, IMAGE_AT : IMAGE_AT + VISUAL_TOKENS] = tokens
        hidden = text(inputs_embeds=embeds, position_ids=batch["position_ids"], use_cache=False)[0]
    else:
        hidden = model.model(input_ids=ids, use_cache=False)[0]
    kept = labels[:, 1:] != -100
    scores = model.lm_head(hidden[:, :-1][kept])
    wanted = labels[:, 1:][kept]
    loss = torch.nn.functional.cross_entropy(scores, wanted)
    wrong = torch.zeros(labels[:, 1:].shape, dtype=torch.bool)
    wrong[kept] = scores.argmax(-1) != wanted
    return loss, ~wrong.any(dim=1)


def train_stages(
    model: Any,
    tokenizer: Any,
    stages: Sequence[Stage],
    batch: int,
    lr: float,
    rng: random.Random,
    say: Callable[[str], None],
) -> None:
    """The stages one after the other under one warm-up and cosine."""
    import torch

    weights = [p for name, p in model.named_parameters() if "visual" not in name]
    optimizer = torch.optim.AdamW(weights, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    total = sum(stage.steps for stage in stages)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=total, pct_start=0.05, div_factor=25, final_div_factor=100
    )
    step = 0
    for stage in stages:
        for _ in range(stage.steps):
            loss, _right = token_losses(
                model, tokenizer, [example(stage.mixture, rng) for _ in range(batch)]
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 100 == 0:
                say(
                    f"{stage.name}: step {step}/{total}, loss {loss.item():.3f}, {probe(model, tokenizer)}"
                )


def teach_thinking(model: Any, tokenizer: Any, seed: int, say: Callable[[str], None]) -> None:
    """The last stage of the VLM, with a random stream of its own so that it can be run alone."""
    rng = random.Random(f"thinking {seed}")
    train_stages(model, tokenizer, [THINKING], BATCH["vlm"], 4e-4, rng, say)


def probe(model: Any, tokenizer: Any, n: int = 48) -> str:
    """Exactness of greedy completions on held-out layouts, for the log."""
    import torch

    rng = random.Random("probe")
    asked = {}
    if hasattr(model.model, "visual"):
        asked["caption"] = Mixture({"caption": 1}, {})
        asked |= {f"{name}": Mixture({"scan": 1}, {name: 1}) for name in FAMILIES}
    else:
        asked |= {f"{name}": Mixture({"trace": 1}, {name: 1}, 1.0) for name in FAMILIES}
    out = []
    for name, mixture in asked.items():
        with torch.no_grad():
            examples = [example(mixture, rng, "heldout") for _ in range(n)]
            # A careful trace that does not look back is determined by the picture.
            examples = [e for e in examples if "Wait" not in e.completion]
            _, right = token_losses(model, tokenizer, examples)
        share = right.float().mean().item()
        out.append(f"{name} {share:.2f}")
    return ", ".join(out)


def pretrain(which: str, to: Path, seed: int) -> None:
    """One of the two models, from nothing to a folder under `to`."""
    import torch

    from vlt.datagen.miniature import tiny_models as models

    start = time.time()

    def say(line: str) -> None:
        print(f"[{which} {time.time() - start:4.0f} s] {line}", flush=True)

    torch.manual_seed(seed)
    rng = random.Random(f"pretrain {which} {seed}")
    tokenizer = models.make_tokenizer()
    if which == "vlm":
        model = models.make_vlm(tokenizer)
        what, where = train_vision(model, 400, 2e-3, rng)
        say(f"vision: what is in a cell {what:.3f} right, where it is {where:.3f}")
        train_stages(model, tokenizer, VLM_STAGES, BATCH[which], 1.5e-3, rng, say)
        teach_thinking(model, tokenizer, seed, say)
        models.save(model, models.make_processor(tokenizer), to / which)
    else:
        model = models.make_reasoner(tokenizer)
        train_stages(model, tokenizer, REASONER_STAGES, BATCH[which], 1.5e-3, rng, say)
        models.save(model, tokenizer, to / which)
    say(f"saved to {to / which}")


def both(module: str, about: str, pretrain: Callable[[str, Path, int], None]) -> int:
    """The command `python -m MODULE` that makes a miniature's two models, each in a process of one thread;
    returns the exit code. `about`: its docstring."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--to", type=Path, required=True, help="folder for vlm/ and reasoner/")
    parser.add_argument(
        "--only", choices=("vlm", "reasoner"), help="one of the two, in this process"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.only:
        pretrain(args.only, args.to, args.seed)
        return 0
    command = [sys.executable, "-m", module, *sys.argv[1:], "--only"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen([*command, name], env=one_thread) for name in ("vlm", "reasoner")]
    return max(child.wait() for child in children)


if __name__ == "__main__":
    sys.exit(both("vlt.datagen.miniature.pretrain", __doc__, pretrain))
