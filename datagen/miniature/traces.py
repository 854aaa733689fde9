"""The two ways of reasoning that the tiny models learn before the loop starts.

*Careful*: every cell is named beside a running number, so the answer is right if the scan is.
*Quick*: a glance and a guess, right less than half the time. Verification keeps the right ones of
both, so SFT teaches a mixture, and GRPO finds out which of the two pays. Some traces look back
("Wait, ..."), as R1's do, so that reflection truncation has something to cut.
"""

from __future__ import annotations

import random

from vlt.datagen.miniature.questions import KEYS, Question
from vlt.datagen.miniature.world import Layout, cell_words

QUICK_RIGHT = {"easy": 0.35, "hard": 0.25}
"""How often a quick look is right, by level (yes/no questions: see `guess`)."""
REFLECT_SHARE = 0.12


def scan(layout: Layout, question: Question) -> str:
    """The careful trace: `Check red: red circle 1, blue square 1, ... So 2.`"""
    words, cells = cell_words(layout), layout.cells
    family, key = question.family, question.key
    if family == "table-sum":
        start = 0 if key[0] == "top" else 3
        sums = [sum(cells[start : end + 1]) for end in range(start, start + 3)]
        steps = [f"{cells[start + i]} {total}" for i, total in enumerate(sums)]
        return f"Check {key[0]} row: {', '.join(steps)}. So {sums[-1]}."
    head, running = _running(family, key, cells)
    steps = [f"{word} {' '.join(map(str, now))}" for word, now in zip(words, running, strict=True)]
    last = running[-1]
    if len(last) == 1:
        end = f"So {last[0]}."
    elif family == "shapes-more":
        sign = ">" if last[0] > last[1] else "<" if last[0] < last[1] else "="
        end = f"So {last[0]} {sign} {last[1]}, {question.answer}."
    else:
        end = f"So {max(last)} - {min(last)} = {max(last) - min(last)}."
    return f"Check {head}: {', '.join(steps)}. {end}"


def _running(
    family: str, key: tuple[str, ...], cells: tuple[int, ...]
) -> tuple[str, list[tuple[int, ...]]]:
    """What is checked, and the running number(s) after each cell."""
    seen = [cells[: i + 1] for i in range(len(cells))]
    if family == "bars-range":
        return "high and low", [(max(part), min(part)) for part in seen]
    if family in ("table-over", "bars-over"):
        return f"over {key[0]}", [(sum(cell > int(key[0]) for cell in part),) for part in seen]
    return " and ".join(key), [tuple(sum(c in KEYS[k] for c in part) for k in key) for part in seen]


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
        thought, answer = scan(layout, question), question.answer
    else:
        answer = guess(question, level, rng)
        thought = f"Quick look: {answer}."
    if rng.random() < REFLECT_SHARE:
        doubt = guess(question, level, rng)
        thought += f" Wait, maybe {doubt}? No, {answer}."
    return f"<think>{thought}</think> <answer>{answer}</answer>"
