"""Rewards for GRPO: the grader's verdict, and by choice format, length, repetition and one's own.

A reward is a function of TRL's shape: completions and the rows' columns in, one number (or None:
leave this sample out) for each completion out. Their weighted sum is the sample's reward.
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
from vlt.train.own_rewards import Missed, is_own, kept_to_its_word, load

if TYPE_CHECKING:
    from vlt.train.child import Job

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
"""Name -> what it is. Settings that are no numbers: `grader` (see vlt.grade.graders), and
`judge:RUBRIC` (see vlt.train.judge_reward)."""

WEIGHTS = ("accuracy", "format", "length", "repetition")
COLUMNS = (
    *("id", "source", "question", "images", "answer", "choices", "answer_type", "pass_rate"),
)
"""What of a row a reward of one's own may take: see vlt.train.methods.grpo.columns."""


@dataclass(frozen=True)
class Rewards:
    """What GRPO is rewarded for."""

    functions: list[Reward]
    weights: list[float]


def check_reward(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The reward settings, or accuracy alone, as they stand in a checkpoint's identity.

    A function of one's own is known by its name and its source. Raises UserError for an unknown or
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
                f"reward: {name!r} is not one; there are {', '.join(NUMBERS)}, grader and judge:RUBRIC, "
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
        raise UserError("reward: length needs max_tokens, the length from which on it counts")
    return identity


def own(settings: Mapping[str, Any]) -> list[str]:
    """The names that stand for functions of one's own."""
    return [
        name for name in settings if name != "grader" and name not in NUMBERS and not is_judge(name)
    ]


def _weights(settings: Mapping[str, Any]) -> dict[str, float]:
    """What each reward counts in the sum."""
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

    `record` is told each sample's verdict; `missed` the samples that one of one's own raised for, or a
    judge could not judge. `job` is the training's, which judges need: they ask through its journal.
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
        made[name] = kept_to_its_word(load(name, COLUMNS), missed)
    for name in filter(is_judge, settings):
        judge = JudgeReward.of(name, settings[name])
        assert job and job.workspace and job.version, "a training says where its journal is"
        made[name] = judge_reward(judge, Path(job.workspace), job.version, missed)
    weights = {name: weight for name, weight in _weights(settings).items() if weight}
    used = [name for name in made if name in weights]
    return Rewards([made[name] for name in used], [weights[name] for name in used])


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
    """Minus the share of word 4-grams that repeat an earlier one of the same response.

    Words as in vlt.segment: characters, where the script puts no spaces.
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
