"""Training examples for the pretraining of the tiny models, and their batches.

An example is a prompt and a completion, with or without a picture. The VLM sees captions, noisy
direct answers and scans of pictures, whole traces of captions in text only, and, where it thinks about a
picture, mostly quick looks: that is what the loop is there to change. In the second miniature
(`Mixture.glances`) it takes nothing but quick looks, captions lack a cell now and then, and the reasoner
muses about it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlt.datagen.miniature import tiny_models as models
from vlt.datagen.miniature.questions import FAMILIES, ask
from vlt.datagen.miniature.traces import glance, guess, quick, read_closely, scan, trace
from vlt.datagen.miniature.world import Layout, Split, caption, draw, sample_layout

PICTURES = ("shapes", "table", "bars")
IMAGE_AT = 4  # <|im_start|> user \n <|vision_start|>, then the six visual tokens
VISUAL_TOKENS = 6


@dataclass(frozen=True)
class Example:
    """One prompt and what to say to it."""

    task: str
    layout: Layout
    prompt: str
    completion: str

    @property
    def pictured(self) -> bool:
        """Whether the prompt shows the picture."""
        return self.task != "trace"


@dataclass(frozen=True)
class Mixture:
    """What a stage of pretraining consists of; weights need not sum to one."""

    tasks: Mapping[str, float]
    """caption, direct, scan, think (with the picture), trace (the caption in words instead)."""
    families: Mapping[str, float]
    """Of the questions."""
    careful_share: float = 0.4
    """Of the traces; the others are quick."""
    careful_thought_share: float = 0.1
    """The same where the model thinks about a picture."""
    lacking_share: float = 0.0
    """Of the captions: how many lack a cell."""
    glances: bool = False
    """What is said at once of a picture is what a glance catches, and what is lacking is mused upon."""


def example(mixture: Mixture, rng: random.Random, split: Split = "train") -> Example:
    """A random example of the mixture."""
    task = rng.choices(list(mixture.tasks), list(mixture.tasks.values()))[0]
    lacking = rng.randrange(6) if rng.random() < mixture.lacking_share else None
    if task == "caption":
        layout = sample_layout(rng.choice(PICTURES), rng, split)
        return Example(task, layout, models.CAPTION_PROMPT, caption(layout, lacking))
    name = rng.choices(list(mixture.families), list(mixture.families.values()))[0]
    family = FAMILIES[name]
    layout = sample_layout(family.picture, rng, split)
    question = ask(name, layout.cells, rng)
    seen = mixture.glances
    if task == "direct":
        prompt = models.DIRECT_PROMPT.format(question=question.text)
        said = glance(layout, question, rng) if seen else guess(question, family.level, rng)
        return Example(task, layout, prompt, said)
    if task == "scan":
        prompt = models.SCAN_PROMPT.format(question=question.text)
        return Example(task, layout, prompt, scan(layout, question))
    if task == "think":
        prompt = models.THINK_PROMPT.format(question=question.text)
        if seen:
            return Example(task, layout, prompt, quick(glance(layout, question, rng)))
        share = mixture.careful_thought_share
        return Example(task, layout, prompt, trace(layout, question, family.level, rng, share))
    words = caption(layout, lacking)
    prompt = models.REASON_PROMPT.format(caption=words, question=question.text)
    if not seen:
        completion = trace(layout, question, family.level, rng, mixture.careful_share)
    elif rng.random() < mixture.careful_share:
        completion = read_closely(layout, question, lacking, rng)
    else:
        completion = quick(guess(question, family.level, rng))
    return Example(task, layout, prompt, completion)


def patches(layouts: Sequence[Layout]) -> np.ndarray:
    """What the image processor makes of the pictures, at once: float32 [24 * n, 1176]."""
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = (np.stack([draw(layout) for layout in layouts]) / 255.0 - mean) / std
    # rows, merge, patch height | columns, merge, patch width -> one line per patch, merged 2 x 2
    tiles = pixels.transpose(0, 3, 1, 2).reshape(len(layouts), 3, 2, 2, 14, 3, 2, 14)
    tiles = tiles.transpose(0, 2, 5, 3, 6, 1, 4, 7).reshape(-1, 3, 1, 14, 14)
    out: np.ndarray = tiles.repeat(2, axis=2).reshape(len(tiles), -1).astype(np.float32)
    return out


def encode(tokenizer: Any, examples: Sequence[Example]) -> dict[str, Any]:
    """input_ids, labels [n, length] and position_ids [3, n, length], padded on the right."""
    import torch

    picture = "<|vision_start|>" + "<|image_pad|>" * VISUAL_TOKENS + "<|vision_end|>"
    prompts = [
        f"<|im_start|>user\n{picture if e.pictured else ''}{e.prompt}<|im_end|>\n"
        "<|im_start|>assistant\n"
        for e in examples
    ]
    heads = tokenizer(prompts)["input_ids"]
    tails = tokenizer([e.completion + "<|im_end|>\n" for e in examples])["input_ids"]
    length = max(len(h) + len(t) for h, t in zip(heads, tails, strict=True))
    ids = torch.full((len(examples), length), tokenizer.pad_token_id)
    labels = torch.full((len(examples), length), -100)
    positions = torch.arange(length).repeat(3, len(examples), 1)
    after = IMAGE_AT + VISUAL_TOKENS
    for row, (head, tail) in enumerate(zip(heads, tails, strict=True)):
        ids[row, : len(head) + len(tail)] = torch.tensor(head + tail)
        labels[row, len(head) : len(head) + len(tail)] = torch.tensor(tail)
        if examples[row].pictured:
            # Qwen2.5-VL's own numbering: time, row and column; text goes on after the widest (3).
            positions[0, row, IMAGE_AT:after] = IMAGE_AT
            positions[1, row, IMAGE_AT:after] = torch.tensor([4, 4, 4, 5, 5, 5])
            positions[2, row, IMAGE_AT:after] = torch.tensor([4, 5, 6, 4, 5, 6])
            positions[:, row, after:] -= VISUAL_TOKENS - 3
    return {"input_ids": ids, "labels": labels, "position_ids": positions}
