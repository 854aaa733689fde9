"""The second miniature: what it has beside the first, and that its base never scans of its own accord."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from vlt.datagen.miniature import FAMILIES, records
from vlt.datagen.miniature.gates import answer_of, generate
from vlt.datagen.miniature.gates_glance import probability_of_care
from vlt.datagen.miniature.questions import Question, ask
from vlt.datagen.miniature.tiny_models import REASON_PROMPT
from vlt.datagen.miniature.traces import GLANCED, MUSES, glance, read_closely, scan
from vlt.datagen.miniature.world import Layout, caption, sample_layout
from vlt.runs.recipe import BUNDLED

WEIGHTS = BUNDLED / "miniature-glance"


def asked(n: int = 20) -> list[tuple[Layout, Question]]:
    rng = random.Random(3)
    found = []
    for name, family in FAMILIES.items():
        for _ in range(n):
            layout = sample_layout(family.picture, rng, "train")
            found.append((layout, ask(name, layout.cells, rng)))
    return found


def held(n: int, seed: int) -> list[dict[str, Any]]:
    return list(records(n, families=list(FAMILIES), split="heldout", seed=seed))


def test_a_caption_that_lacks_a_cell_says_all_the_others() -> None:
    layout = Layout("shapes", (0, 1, 3, 2, 5, 6))
    assert caption(layout, 2) == (
        "Shapes: empty, red circle, ?, red square, green circle, green square."
    )
    assert "?" not in caption(layout)


def test_a_scan_without_a_cell_counts_the_others() -> None:
    for layout, question in asked():
        for lacking in range(6):
            words = scan(layout, question, lacking)
            others = {
                scan(Layout(layout.picture, cells), question, lacking)
                for cells in _others(layout, lacking)
            }
            assert others == {words}, "the cell that is lacking must not be seen"
    layout = Layout("bars", (3, 6, 2, 2, 2, 1))
    question = ask("bars-range", layout.cells, random.Random(0))
    assert scan(layout, question, 0).startswith("Check high and low: ? 0 0, 6 6 6, 2 6 2,")
    assert scan(layout, question, 5).endswith("? 6 2. So 6 - 2 = 4.")


def _others(layout: Layout, place: int) -> list[tuple[int, ...]]:
    low = 0 if layout.picture == "shapes" else 1
    return [(*layout.cells[:place], cell, *layout.cells[place + 1 :]) for cell in range(low, 7)]


def test_a_reader_muses_where_a_cell_is_lacking_and_keeps_what_it_said() -> None:
    rng = random.Random(5)
    for layout, question in asked():
        assert read_closely(layout, question, None, rng) == (
            f"<think>{scan(layout, question)}</think> <answer>{question.answer}</answer>"
        )
        text = read_closely(layout, question, rng.randrange(6), rng)
        assert MUSES[0] <= text.count("Wait,") <= MUSES[1]
        first = re.findall(r"\w+", text.partition(" Wait,")[0])[-1]
        assert answer_of(text) == first and text.count(f"No, {first}.") == 1


def test_a_glance_sees_the_first_cells_alone() -> None:
    for layout, question in asked(5):
        said = []
        for last in (1, 6):
            changed = Layout(layout.picture, (*layout.cells[:GLANCED], *[last] * (6 - GLANCED)))
            said.append([glance(changed, question, random.Random(i)) for i in range(20)])
        assert said[0] == said[1]
    right = [glance(layout, q, random.Random(1)) == q.answer for layout, q in asked(100)]
    assert 0.15 < sum(right) / len(right) < 0.5


def vlm(name: str) -> tuple[Any, Any]:
    folder = BUNDLED / name / "vlm"
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


def test_sampling_never_finds_a_scan() -> None:
    """In 64 answers to an item, well under one in ten has one; the first miniature's base has one in ten."""
    rows = held(70, seed=8)
    chances = {
        name: probability_of_care(*vlm(name), rows) for name in ("miniature", "miniature-glance")
    }
    assert sum(chances["miniature"]) / len(rows) > 0.05
    found = [1 - (1 - chance) ** 64 for chance in chances["miniature-glance"]]
    assert sum(found) / len(found) < 0.05


def test_the_teacher_scans_and_muses_where_the_caption_lacks_something() -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "reasoner")
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "reasoner", dtype=torch.float32)
    rows = held(42, seed=9)
    layouts = [Layout.parse(row["meta"]["layout"]) for row in rows]
    torch.manual_seed(0)
    share = {}
    for lacking in (None, 4):
        prompts = [
            REASON_PROMPT.format(caption=caption(layout, lacking), question=row["question"])
            for layout, row in zip(layouts, rows, strict=True)
        ]
        said = generate(model, tokenizer, prompts, temperature=1.0, max_new_tokens=128)
        scans = [text for text in said if "Check" in text]
        assert 0.45 < len(scans) / len(said) < 0.95
        share[lacking] = sum("Wait," in text for text in scans) / len(scans)
    assert share[None] < 0.1 and share[4] > 0.9


def test_its_weights_are_small() -> None:
    size = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())
    assert size < 5e6


@pytest.mark.parametrize("arm", ["grpo-only", "sft-only", "one-round"])
def test_arms_take_the_loops_grpo_steps_or_none(arm: str) -> None:
    from vlt.runs.arms import variants
    from vlt.runs.budget import planned, total

    taken = {}
    for variant in variants("miniature-glance", arms=["loop", arm]):
        budgets = planned(variant.recipe.models.base, variant.steps)
        taken[variant.arm] = total(variant.steps, budgets)
    steps = taken["loop"].grpo_steps if arm != "sft-only" else 0
    assert taken[arm].grpo_steps == steps
    assert taken[arm].completions == (taken["loop"].completions if steps else 0)
