"""The ways of reasoning that the tiny models learn before the loop starts.

*Careful*: every cell is named beside a running number, so the answer is right if the scan is.
*Quick*: a glance and a guess, right less than half the time. Verification keeps the right ones of
both, so SFT teaches a mixture, and GRPO finds out which of the two pays. Some traces look back
("Wait, ..."), as R1's do, so that reflection truncation has something to cut.

The second miniature (recipes/miniature-glance.yaml) has two more. *Glances*: its base sees the first
two cells and takes the others as they come. *Musings*: its reasoner, where the caption lacks a cell,
scans the others and then wonders at length, before it says what it said first.
"""

from __future__ import annotations

import random
import re

from vlt.datagen.miniature.questions import KEYS, Question, answer
from vlt.datagen.miniature.world import UNKNOWN, Layout, cell_words, sample_layout

QUICK_RIGHT = {"easy": 0.35, "hard": 0.25}
"""How often a quick look is right, by level (yes/no questions: see `guess`)."""
REFLECT_SHARE = 0.12
GLANCED = 2
"""Cells that a glance catches."""
MUSES = (2, 10)
"""How many times a reasoner wonders, at least and at most, where the caption lacks a cell."""


def scan(layout: Layout, question: Question, lacking: int | None = None) -> str:
    """The careful trace: `Check red: red circle 1, blue square 1, ... So 2.`

    A cell that the caption lacks is named `?` and changes no number.
    """
    words, cells = cell_words(layout), layout.cells
    family, key = question.family, question.key
    if lacking is not None:
        words[lacking] = UNKNOWN
    places = range(len(cells))
    if family == "table-sum":
        places = range(3) if key[0] == "top" else range(3, 6)
    head, running = _running(family, key, [(i, cells[i]) for i in places if i != lacking])
    now = running[places[0]] if places[0] in running else (0,) * len(next(iter(running.values())))
    steps = []
    for place in places:
        now = running.get(place, now)
        steps.append(f"{words[place]} {' '.join(map(str, now))}")
    if len(now) == 1:
        end = f"So {now[0]}."
    elif family == "shapes-more":
        sign = ">" if now[0] > now[1] else "<" if now[0] < now[1] else "="
        end = f"So {now[0]} {sign} {now[1]}, {'yes' if sign == '>' else 'no'}."
    else:
        end = f"So {max(now)} - {min(now)} = {max(now) - min(now)}."
    return f"Check {head}: {', '.join(steps)}. {end}"


def _running(
    family: str, key: tuple[str, ...], known: list[tuple[int, int]]
) -> tuple[str, dict[int, tuple[int, ...]]]:
    """What is checked, and the running number(s) after each known cell, by its place."""
    seen = {place: [cell for _, cell in known[: i + 1]] for i, (place, _) in enumerate(known)}
    if family == "table-sum":
        return f"{key[0]} row", {place: (sum(part),) for place, part in seen.items()}
    if family == "bars-range":
        return "high and low", {place: (max(part), min(part)) for place, part in seen.items()}
    if family in ("table-over", "bars-over"):
        bound = int(key[0])
        return f"over {bound}", {
            place: (sum(cell > bound for cell in part),) for place, part in seen.items()
        }
    return " and ".join(key), {
        place: tuple(sum(c in KEYS[k] for c in part) for k in key) for place, part in seen.items()
    }


def glance(layout: Layout, question: Question, rng: random.Random) -> str:
    """The answer to the first cells of the picture, with others drawn at random behind them."""
    others = sample_layout(layout.picture, rng, "train").cells
    return answer(question.family, question.key, layout.cells[:GLANCED] + others[GLANCED:])


def quick(said: str) -> str:
    """A quick look that says this, as a whole response."""
    return f"<think>Quick look: {said}.</think> <answer>{said}</answer>"


def read_closely(
    layout: Layout, question: Question, lacking: int | None, rng: random.Random
) -> str:
    """What the second miniature's reasoner writes where it scans: it muses on a cell that is lacking."""
    thought = scan(layout, question, lacking)
    said = re.findall(r"\w+", thought)[-1]
    if lacking is not None:
        for _ in range(rng.randint(*MUSES)):
            doubt = {"yes": "no", "no": "yes"}.get(said) or str(
                abs(int(said) + rng.choice((-2, -1, 1, 2)))
            )
            thought += f" Wait, maybe {doubt}?"
        thought += f" No, {said}."
    return f"<think>{thought}</think> <answer>{said}</answer>"


def guess(question: Question, level: str, rng: random.Random) -> str:
    """A noisy direct answer: right now and then, else one or two off."""
    if question.answer in ("yes", "no"):
        return (
            question.answer if rng.random() < 0.55 else {"yes": "no", "no": "yes"}[question.answer]
        )
    if rng.random() < QUICK_RIGHT[level]:
        return question.answer
    off = rng.choice((-1, 1) if level == "easy" else (-2, -1, 1, 2))
    return str(abs(int(question.answer) + off))


def trace(
    layout: Layout, question: Question, level: str, rng: random.Random, careful_share: float
) -> str:
    """A whole response in the format of the loop: think, then answer."""
    if rng.random() < careful_share:
        thought, said = scan(layout, question), question.answer
    else:
        said = guess(question, level, rng)
        thought = f"Quick look: {said}."
    if rng.random() < REFLECT_SHARE:
        doubt = guess(question, level, rng)
        thought += f" Wait, maybe {doubt}? No, {said}."
    return f"<think>{thought}</think> <answer>{said}</answer>"
