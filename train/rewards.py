"""Rewards for GRPO: the grader's verdict, and optionally format, length, repetition and the user's own.

A reward is a function with TRL's signature: it takes completions and the rows' columns, and returns one
number (or None to leave the sample out) for each completion. Their weighted sum is the sample's reward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.errors import UserError
from vlt.response_format import in_format, is_answer_bare
from vlt.segment import words
from vlt.train.judge_reward import JudgeReward, is_judge, judge_reward
from vlt.train.own_rewards import Missed, checked, is_own, load

if TYPE_CHECKING:
    from vlt.train.child import Job

Reward = Callable[..., list[float | None]]

DEFAULT: dict[str, Any] = {"accuracy": 1.0}
NUMBERS = {
    "accuracy": "weight of the verdict: correct 1, wrong 0, unjudged left out",
    "empty_answer_penalty": "deducted from a correct answer with nothing between </think> and <answer>",
    "format": "weight of <think>...</think> <answer>...</answer> and nothing else",
    "length": "weight of -(tokens over max_tokens) / max_tokens, at worst -1",
    "max_tokens": "tokens above which a response is too long",
    "repetition": "weight of -(share of word 4-grams that occurred before)",
}
"""Name -> meaning. Settings that are not numbers: `grader` (see vlt.grade.graders), and
`judge:RUBRIC` (see vlt.train.judge_reward)."""

WEIGHTS = ("accuracy", "format", "length", "repetition")
COLUMNS = (
    *("id", "source", "question", "images", "answer", "choices", "answer_type", "pass_rate"),
)
"""The columns of a row that a user's reward may take: see vlt.train.methods.grpo.columns."""


@dataclass(frozen=True)
class Rewards:
    """What GRPO is rewarded for."""

    functions: list[Reward]
    weights: list[float]


def check_reward(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The reward settings, or accuracy alone, as part of a checkpoint's identity.

    A user's function is identified by its name and its source. Raises UserError for an unknown or
    useless reward.
    """
    from vlt.grade.graders import grader_identity

    settings = dict(given or DEFAULT)
    identity: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "grader":
            try:
                identity[name] = grader_identity(value)
            except UserError as error:
                raise UserError(f"reward: {error}") from None
            continue
        if is_judge(name):
            judge = JudgeReward.of(name, value)
            if judge.name in identity:
                raise UserError(
                    f"reward: two are called {judge.name!r}; rename the rubric of {name!r}"
                )
            identity[judge.name] = judge.identity()
            continue
        if name not in NUMBERS and not is_own(name):
            raise UserError(
                f"reward: {name!r} is unknown; there are {', '.join(NUMBERS)}, grader and judge:RUBRIC, "
                "or name a function of your own: file.py:name"
            )
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"reward: {name}={value!r} should be a number")
        if name in NUMBERS:
            identity[name] = value
            continue
        plugin = load(name, COLUMNS)
        if plugin.name in (*NUMBERS, "grader", *identity):
            raise UserError(f"reward: two are called {plugin.name!r}; rename the one of {name!r}")
        identity[plugin.name] = {"weight": value, **plugin.identity}
    if not any(_weights(settings).values()):
        raise UserError(
            "reward: every weight is 0, so nothing would be learned; give accuracy a weight"
        )
    if settings.get("length") and not settings.get("max_tokens"):
        raise UserError("reward: length needs max_tokens, above which it counts; add max_tokens=N")
    return identity


def own(settings: Mapping[str, Any]) -> list[str]:
    """The names that name a user's functions."""
    return [
        name for name in settings if name != "grader" and name not in NUMBERS and not is_judge(name)
    ]


def _weights(settings: Mapping[str, Any]) -> dict[str, float]:
    """The weight of each reward in the sum."""
    found = {name: float(settings.get(name) or 0) for name in (*WEIGHTS, *own(settings))}
    judges = {name: float(settings[name].get("weight", 1)) for name in settings if is_judge(name)}
    return {**found, **judges}


def rewards(
    given: Mapping[str, Any],
    record: Callable[..., None] | None = None,
    missed: Missed | None = None,
    job: Job | None = None,
) -> Rewards:
    """The reward functions whose weight is not 0.

    `record` is called with each sample's verdict; `missed` counts the samples for which a user's function
    raised, or that a judge could not judge. Judges need the training's `job`: they use its journal.
    """
    settings = given or DEFAULT
    missed = missed or Missed()
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
    for name in own(settings):
        made[name] = checked(load(name, COLUMNS), missed)
    for name in filter(is_judge, settings):
        judge = JudgeReward.of(name, settings[name])
        assert job and job.workspace and job.version, "a training with judges has a workspace"
        made[name] = judge_reward(judge, Path(job.workspace), job.version, missed)
    weights = {name: weight for name, weight in _weights(settings).items() if weight}
    used = [name for name in made if name in weights]
    return Rewards([made[name] for name in used], [weights[name] for name in used])


def accuracy(
    *, penalty: float = 0.0, grader: str = "vlt", record: Callable[..., None] | None = None
) -> Reward:
    """1 for a correct answer, 0 for a wrong one, None if the grader cannot tell.

    `penalty` is deducted from a correct answer with only whitespace between </think> and <answer>
    (0.5 in upstream's v1.2, which wants a summary of the reasoning there).
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
    """1 if the response is <think>...</think> <answer>...</answer> and nothing else."""
    return [float(in_format(text_of(c))) for c in completions]


def length(max_tokens: int) -> Reward:
    """0 up to `max_tokens` tokens, then falling to -1 at twice as many."""

    def length(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float | None]:
        return [-min(1.0, max(0, len(ids) - max_tokens) / max_tokens) for ids in completion_ids]

    return length


def repetition(completions: Sequence[Any], **_: Any) -> list[float | None]:
    """Minus the share of word 4-grams that repeat an earlier one in the same response.

    Words as in vlt.segment: characters, in scripts without spaces.
    """
    return [-_repeated(words(text_of(c))) for c in completions]


def _repeated(said: Sequence[str], n: int = 4) -> float:
    grams = Counter(zip(*(said[i:] for i in range(n)), strict=False))
    return 1 - len(grams) / grams.total() if grams else 0.0


def text_of(completion: Any) -> str:
    """A completion's text: TRL gives a string, or messages whose content is text or blocks."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)
