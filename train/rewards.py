"""Rewards for GRPO: the grader's verdict, and by choice format, length and repetition.

A reward is a function of TRL's shape: completions and the rows' columns in, one number (or None:
leave this sample out) for each completion out. Their weighted sum is the sample's reward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlt.errors import UserError
from vlt.response_format import in_format, is_answer_bare

Reward = Callable[..., list[float | None]]

DEFAULT: dict[str, Any] = {"accuracy": 1.0}
NUMBERS = {
    "accuracy": "weight of the verdict: correct 1, wrong 0, unjudged left out",
    "empty_answer_penalty": "taken off a correct answer with nothing between </think> and <answer>",
    "format": "weight of <think>...</think> <answer>...</answer> and nothing else",
    "length": "weight of -(tokens over max_tokens) / max_tokens, at worst -1",
    "max_tokens": "tokens from which on a response is too long",
    "repetition": "weight of -(share of word 4-grams that came before)",
}
"""Name -> what it is; `grader` (vlt or paper) is the one setting that is no number."""


@dataclass(frozen=True)
class Rewards:
    """What GRPO is rewarded for."""

    functions: list[Reward]
    weights: list[float]


def check_reward(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The reward settings, or accuracy alone; raises UserError for an unknown or useless one."""
    settings = dict(given or DEFAULT)
    for name, value in settings.items():
        if name == "grader":
            if value not in ("vlt", "paper"):
                raise UserError(f"reward: grader {value!r} is not one; write vlt or paper")
        elif name not in NUMBERS:
            raise UserError(
                f"reward: {name!r} is not one; there are {', '.join(NUMBERS)} and grader"
            )
        elif not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"reward: {name}={value!r} should be a number")
    if not any(settings.get(name) for name in ("accuracy", "format", "length", "repetition")):
        raise UserError(
            "reward: every weight is 0, so nothing would be learned; give accuracy a weight"
        )
    if settings.get("length") and not settings.get("max_tokens"):
        raise UserError("reward: length needs max_tokens, the length from which on it counts")
    return settings


def rewards(settings: Mapping[str, Any], record: Callable[..., None] | None = None) -> Rewards:
    """The reward functions whose weight is not 0; `record` is told each sample's verdict."""
    made: dict[str, Reward] = {
        "accuracy": accuracy(
            penalty=float(settings.get("empty_answer_penalty", 0)),
            grader=settings.get("grader", "vlt"),
            record=record,
        ),
        "format": format,
        "length": length(int(settings.get("max_tokens", 0))),
        "repetition": repetition,
    }
    used = [name for name in made if settings.get(name)]
    return Rewards([made[name] for name in used], [float(settings[name]) for name in used])


def accuracy(
    *, penalty: float = 0.0, grader: str = "vlt", record: Callable[..., None] | None = None
) -> Reward:
    """1 for a correct answer, 0 for a wrong one, None where the grader cannot tell.

    `penalty` is what a correct answer loses when nothing but space stands between </think> and
    <answer> (0.5 in upstream's v1.2, which wants the reasoning summed up there).
    """
    from vlt.grade import grade_many

    def accuracy(
        completions: Sequence[Any],
        answer: Sequence[str],
        question: Sequence[str | None],
        choices: Sequence[Sequence[str] | None],
        answer_type: Sequence[str | None],
        **columns: Any,
    ) -> list[float | None]:
        texts = [text_of(completion) for completion in completions]
        grades = grade_many(
            texts,
            answer,
            questions=question,
            choices=choices,
            answer_types=answer_type,
            grader=grader,
        )
        values: list[float | None] = []
        for text, grade in zip(texts, grades, strict=True):
            if grade.verdict == "unjudged":
                values.append(None)
            elif grade.verdict == "correct":
                values.append(1.0 - (penalty if penalty and is_answer_bare(text) else 0.0))
            else:
                values.append(0.0)
        if record:
            record(texts, values, grades, columns)
        return values

    return accuracy


def format(completions: Sequence[Any], **_: Any) -> list[float | None]:
    """1 where the response is <think>...</think> <answer>...</answer> and nothing else."""
    return [float(in_format(text_of(c))) for c in completions]


def length(max_tokens: int) -> Reward:
    """0 up to `max_tokens` tokens, then falling to -1 at twice as many."""

    def length(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        return [-min(1.0, max(0, len(ids) - max_tokens) / max_tokens) for ids in completion_ids]

    return length


def repetition(completions: Sequence[Any], **_: Any) -> list[float | None]:
    """Minus the share of word 4-grams that repeat an earlier one of the same response."""
    return [-_repeated(text_of(c).split()) for c in completions]


def _repeated(words: Sequence[str], n: int = 4) -> float:
    grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    return 1 - len(grams) / grams.total() if grams else 0.0


def text_of(completion: Any) -> str:
    """A completion's text: TRL gives a string, or messages whose content is text or blocks."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)
