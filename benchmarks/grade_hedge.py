"""A policy that may hedge, trained on the grader's reward: it must not learn to.

    python -m benchmarks.grade_hedge [--steps 400] [--seed 0] [--json]

The policy knows the answer to a question only with some probability, and chooses how to write it:
plainly, or in one of the adversary's joins, afterthoughts and corrections (`grade_attack`), with its
second guess as the other answer. It is a softmax over these ways, begins with hedges as likely as plain
answers, and is updated as in GRPO: groups of samples per question, vlt's own accuracy reward
(`vlt.train.rewards`), advantages normalised within the group. Prints the share of hedges (responses that
commit to nothing) before and after, and the mean reward of both kinds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable

import numpy as np

from benchmarks.grade_attack import AFTERTHOUGHTS, CORRECTIONS, JOINS, KINDS
from vlt.train.rewards import accuracy

PLAIN = (
    "{a}",
    "<answer>{a}</answer>",
    "\\boxed{{{a}}}",
    "The answer is {a}.",
    "Answer: {a}",
    "**{a}**",
)
KNOWN = 0.6
"""How often the first guess is correct; otherwise the second one is, so hedging would pay off."""
GROUP = 8
BATCH = 8
RATE = 1.0


def train(steps: int, seed: int = 0) -> dict[str, float]:
    """The shares of hedges before and after, and the mean rewards of the last steps."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    ways = [*PLAIN, *rng.sample(JOINS, 30), *AFTERTHOUGHTS[:6], *CORRECTIONS[:3]]
    hedges = np.array([way in JOINS for way in ways])
    reward = accuracy()
    logits = np.zeros(len(ways))
    logits[hedges] += np.log((~hedges).sum() / hedges.sum())  # initially half of all are hedges
    before = float(_softmax(logits)[hedges].sum())
    paid: dict[bool, list[float]] = {True: [], False: []}
    for step in range(steps):
        chances = _softmax(logits)
        gradient = np.zeros(len(ways))
        for _ in range(BATCH):
            gold, other = _question(rng)
            chosen = noise.choice(len(ways), GROUP, p=chances)
            texts = [_say(ways[way], gold, other, rng) for way in chosen]
            values = np.array(_rewards(reward, texts, gold))
            spread = values.std()
            if not spread:
                continue
            for way, advantage in zip(
                chosen, (values - values.mean()) / (spread + 1e-4), strict=True
            ):
                gradient -= advantage * chances
                gradient[way] += advantage
            if step > steps * 3 // 4:
                for way, value in zip(chosen, values, strict=True):
                    paid[bool(hedges[way])].append(float(value))
        logits += RATE * gradient / (BATCH * GROUP)
    return {
        "hedges before": before,
        "hedges after": float(_softmax(logits)[hedges].sum()),
        "reward of hedges": float(np.mean(paid[True] or [0.0])),
        "reward of answers": float(np.mean(paid[False] or [0.0])),
    }


def _question(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(
        ("integer", "decimal", "fraction", "surd", "money", "percent", "text", "yes_no", "pair")
    )
    while True:
        gold, other = KINDS[kind](rng), KINDS[kind](rng)
        if gold != other:
            return gold, other


def _say(way: str, gold: str, other: str, rng: random.Random) -> str:
    first, second = (gold, other) if rng.random() < KNOWN else (other, gold)
    return way.format(a=first, b=second)


def _rewards(reward: Callable[..., list[float | None]], texts: list[str], gold: str) -> list[float]:
    n = len(texts)
    values = reward(texts, [gold] * n, [None] * n, [None] * n, [None] * n)
    return [value or 0.0 for value in values]


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


def main() -> None:
    """Print the shares, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = train(arguments.steps, arguments.seed)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:<20}{value:.3f}")


if __name__ == "__main__":
    main()
