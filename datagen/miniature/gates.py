"""What the tiny models can do on held-out layouts, checked before anything relies on them.

    python -m vlt.datagen.miniature.gates recipes/miniature -n 400

Reads the saved folders as the loop does (AutoProcessor, AutoModelFor...), in float32. Prints one
line per gate and exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from vlt.datagen.miniature import tiny_models as models
from vlt.datagen.miniature.questions import FAMILIES
from vlt.datagen.miniature.world import Layout, caption, records

CAPTIONS_AT_LEAST = 0.97
PASS_1_BETWEEN = (0.45, 0.85)
PASS_4_ABOVE_PASS_1 = 0.15
MAX_NEW_TOKENS = 64


def generate(
    model: Any,
    reads: Any,
    prompts: Sequence[str],
    pictures: Sequence[Image.Image] | None = None,
    temperature: float = 0.0,
    batch: int = 200,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[str]:
    """One response per prompt. `reads` is the processor (with pictures) or the tokenizer."""
    import torch

    sampling: dict[str, Any] = {"do_sample": False, "temperature": None}
    if temperature:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    out: list[str] = []
    for start in range(0, len(prompts), batch):
        part = slice(start, start + batch)
        inputs = inputs_of(reads, prompts[part], pictures[part] if pictures else None)
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=max_new_tokens, **sampling)
        out += getattr(reads, "tokenizer", reads).batch_decode(
            ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
    return out


def inputs_of(
    reads: Any,
    prompts: Sequence[str],
    pictures: Sequence[Image.Image] | None = None,
    begun: str = "",
) -> Any:
    """A padded batch of the prompts, each with its picture, as a model takes it; the responses start with
    `begun`. `reads` as in `generate`."""
    tokenizer = getattr(reads, "tokenizer", reads)
    image = [{"type": "image"}] if pictures else []
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": [*image, {"type": "text", "text": prompt}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        + begun
        for prompt in prompts
    ]
    shown = {"images": [[picture] for picture in pictures]} if pictures else {}
    inputs = reads(text=texts, **shown, return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    return inputs


class Measured(NamedTuple):
    """A miniature's saved models, and the held-out items that they are measured on."""

    processor: Any
    vlm: Any
    tokenizer: Any
    """The reasoner's."""
    reasoner: Any
    rows: list[dict[str, Any]]
    pictures: list[Image.Image]


def measured(folder: Path, n: int, seed: int) -> Measured:
    """Load the models, in float32, and n held-out items of all kinds; sampling starts from `seed`."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
        AutoTokenizer,
    )

    vlm = AutoModelForImageTextToText.from_pretrained(folder / "vlm", dtype=torch.float32).eval()
    reasoner = AutoModelForCausalLM.from_pretrained(folder / "reasoner", dtype=torch.float32).eval()
    torch.manual_seed(seed)
    rows = list(records(n, families=list(FAMILIES), split="heldout", seed=seed))
    return Measured(
        AutoProcessor.from_pretrained(folder / "vlm"),
        vlm,
        AutoTokenizer.from_pretrained(folder / "reasoner"),
        reasoner,
        rows,
        pictures_of(rows),
    )


def pictures_of(rows: Sequence[dict[str, Any]]) -> list[Image.Image]:
    """The items' pictures."""
    return [Image.open(io.BytesIO(row["images"][0])) for row in rows]


def answer_of(response: str) -> str | None:
    """What the miniature's models answered, in their own strict format."""
    found = re.fullmatch(r"<think>.*?</think>\s*<answer>([^<]*)</answer>\s*", response, re.DOTALL)
    return found[1].strip() if found else None


def measure(folder: Path, n: int, seed: int = 0) -> dict[str, float]:
    """Every figure, by name, on n held-out items of each kind."""
    processor, vlm, tokenizer, reasoner, rows, pictures = measured(folder, n, seed)
    figures: dict[str, float] = {}

    written = generate(vlm, processor, [models.CAPTION_PROMPT] * n, pictures)
    exact = [caption(Layout.parse(row["meta"]["layout"])) for row in rows]
    figures["captions exact"] = sum(a == b for a, b in zip(written, exact, strict=True)) / n

    def by_level(name: str, right: Sequence[bool], per_family: bool = False) -> None:
        groups: dict[str, list[bool]] = defaultdict(list)
        for row, ok in zip(rows, right, strict=True):
            groups[row["meta"]["family" if per_family else "level"]].append(ok)
        for group in sorted(groups):
            figures[f"{name}, {group}"] = sum(groups[group]) / len(groups[group])

    prompts = [models.SCAN_PROMPT.format(question=row["question"]) for row in rows]
    scans = generate(vlm, processor, prompts, pictures)
    ends = [re.findall(r"\w+", scan)[-1:] for scan in scans]
    right = [end == [row["answer"]] for end, row in zip(ends, rows, strict=True)]
    by_level("scan of the picture", right, per_family=True)

    prompts = [models.DIRECT_PROMPT.format(question=row["question"]) for row in rows]
    direct = generate(vlm, processor, prompts, pictures, temperature=1.0)
    right = [said.strip() == row["answer"] for said, row in zip(direct, rows, strict=True)]
    by_level("direct answer", right)

    prompts = [models.THINK_PROMPT.format(question=row["question"]) for row in rows]
    thought = generate(vlm, processor, prompts, pictures, temperature=1.0)
    right = [answer_of(t) == row["answer"] for t, row in zip(thought, rows, strict=True)]
    by_level("base asked to think", right)

    prompts = [
        models.REASON_PROMPT.format(caption=text, question=row["question"])
        for text, row in zip(written, rows, strict=True)
    ]
    samples = [generate(reasoner, tokenizer, prompts, temperature=1.0) for _ in range(4)]
    hits = [
        [answer_of(sample[i]) == row["answer"] for sample in samples] for i, row in enumerate(rows)
    ]
    for level in ("easy", "hard"):
        part = [hit for hit, row in zip(hits, rows, strict=True) if row["meta"]["level"] == level]
        figures[f"reasoner pass@1, {level}"] = sum(map(sum, part)) / (4 * len(part))
        figures[f"reasoner pass@4, {level}"] = sum(map(any, part)) / len(part)
    return figures


def missed(figures: dict[str, float]) -> list[str]:
    """The gates that these figures do not pass."""
    out = []
    if figures["captions exact"] < CAPTIONS_AT_LEAST:
        out.append(f"captions exact must be at least {CAPTIONS_AT_LEAST}")
    low, high = PASS_1_BETWEEN
    pass_1 = figures["reasoner pass@1, easy"]
    if not low <= pass_1 <= high:
        out.append(f"reasoner pass@1 on easy items must be between {low} and {high}")
    if figures["reasoner pass@4, easy"] < pass_1 + PASS_4_ABOVE_PASS_1:
        out.append(f"reasoner pass@4 must be {PASS_4_ABOVE_PASS_1} above pass@1")
    return out


def main() -> int:
    return checked(__doc__, 400, measure, missed)


def checked(
    about: str,
    n: int,
    measure: Callable[[Path, int, int], dict[str, float]],
    missed: Callable[[dict[str, float]], list[str]],
) -> int:
    """The command of a miniature's gates: prints the figures and what they miss; returns the exit code.

    `about`: its docstring; `n`: items by default.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("folder", type=Path, help="holds vlm/ and reasoner/")
    parser.add_argument("-n", type=int, default=n)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    figures = measure(args.folder, args.n, args.seed)
    for name, value in figures.items():
        print(f"{name:40s} {value:.6f}" if value < 0.001 else f"{name:40s} {value:.3f}")
    problems = missed(figures)
    for problem in problems:
        print(f"MISSED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
