"""The reward `judge:RUBRIC`: a model judges each completion while GRPO trains.

vlt train grpo --reward accuracy=1 --reward 'judge:sound={model: M, base_url: http://127.0.0.1:8000/v1}'

Its replies go through the workspace's journal, so a training that was killed repeats no request. A
completion that it cannot judge is left out of its group, whatever its other rewards: it has no
advantage, and those of the others are computed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.fields import check
from vlt.filters.pass_rate import with_dropped
from vlt.filters.settings import built
from vlt.grade import extract, split_reasoning
from vlt.judging.ask import Judge, messages_for, shown_of
from vlt.judging.reply import Said, said
from vlt.judging.rubric import OF_SAMPLES, Rubric, load_rubric
from vlt.request import Completion, Message, Sampling
from vlt.train.own_rewards import Missed
from vlt.workspace.judgements import UNJUDGED
from vlt.workspace.workspace import Workspace

PREFIX = "judge:"
GIVEN = ("id", "question", "choices", "answer")
"""What a judge may see of the item; the other slots of a rubric come from the completion."""


@dataclass(frozen=True, kw_only=True)
class JudgeReward:
    """One judge, as defined by `judge:RUBRIC: {...}`."""

    model: str
    """The judge's name on its server."""
    weight: float = 1.0
    """The weight of this reward in the sum."""
    base_url: tuple[str, ...] | str = ()
    """Its servers; several share the work. [OPENAI_BASE_URL]"""
    revision: str | None = None
    """The model's revision on the Hub."""
    pixels: str | None = None
    """Resize images to this range of pixels: MIN:MAX."""
    concurrency: Annotated[int, Ge(1)] = 32
    """Concurrent requests per server."""
    timeout: Annotated[float, Gt(0)] = 120.0
    """Seconds until a request is sent again."""
    image: bool | None = None
    """Whether it sees the image. [as the rubric says]"""
    score: bool = False
    """Reward the score, scaled from 0 to 1 over the rubric's scale; by default pass is 1 and fail 0."""
    temperature: Annotated[float, Ge(0)] = 0.0
    """0 is greedy."""
    max_tokens: Annotated[int, Ge(1)] = 1024
    """Maximum tokens of one reply."""

    rubric: Rubric = field(init=False)

    @property
    def name(self) -> str:
        """The reward's name: judge:RUBRIC, with the rubric's name even if it comes from a file."""
        return f"{PREFIX}{self.rubric.name}"

    def __post_init__(self) -> None:
        check(self)
        urls = (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)
        object.__setattr__(self, "base_url", urls)

    @classmethod
    def of(cls, name: str, value: Any) -> JudgeReward:
        """The judge from a reward's name and settings; raises UserError if they do not define one."""
        if not isinstance(value, Mapping) or "model" not in value:
            raise UserError(
                f"reward: {name} needs a model that judges; write {name}: {{model: M, base_url: "
                "http://127.0.0.1:8000/v1, weight: 1}"
            )
        rubric = load_rubric(name.removeprefix(PREFIX))
        shows = [slot for slot in rubric.written if slot not in OF_SAMPLES]
        if shows:
            raise UserError(
                f"reward: rubric {rubric.name!r} shows the {shows[0]}, which a completion does not have; "
                "name one whose prompt has {response}"
            )
        try:
            made: JudgeReward = built(cls, name, value)
            object.__setattr__(made, "rubric", rubric)
            made.reached.kind  # noqa: B018  raises if no server is given
        except UserError as error:
            raise UserError(f"reward: {name}: {str(error).removeprefix(f'{name}: ')}") from None
        return made

    @property
    def reached(self) -> Model:
        """The model and how to reach it."""
        return Model(
            self.model,
            revision=self.revision,
            base_url=tuple(self.base_url),
            pixels=self.pixels,
            concurrency=self.concurrency,
            timeout=self.timeout,
        )

    @property
    def sees(self) -> bool:
        """Whether it sees the image."""
        return self.rubric.image if self.image is None else self.image

    @property
    def sampling(self) -> Sampling:
        """How its replies are drawn."""
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens)

    def identity(self) -> dict[str, Any]:
        """The settings that affect the trained weights: not the server or the request rate."""
        return {
            "weight": self.weight,
            "rubric": self.rubric.as_json(),
            "model": self.reached.identity(),
            "image": self.sees,
            "score": self.score,
            "sampling": self.sampling.as_json(),
            **({"pixels": self.pixels} if self.pixels else {}),
        }

    def value(self, found: Said) -> float | None:
        """The reward for a judgement; None if it is unjudged."""
        if found.verdict == UNJUDGED or found.score is None:
            return None
        if not self.score:
            return float(found.verdict == "pass")
        return (found.score - self.rubric.low) / (self.rubric.high - self.rubric.low)


def is_judge(name: str) -> bool:
    """Whether a reward's name names a judge."""
    return name.startswith(PREFIX)


def judge_reward(
    settings: JudgeReward, root: Path, data: str, missed: Missed
) -> Callable[..., list[float | None]]:
    """The reward with TRL's signature, for a training on the version `data` of the workspace at `root`.

    What it cannot judge is counted in `missed`, with the reason. The reward raises UserError during
    training if the judge's server does not answer at all.
    """
    workspace, rubric = Workspace(root), settings.rubric
    judge = Judge(
        workspace,
        settings.reached,
        settings.sampling,
        response_format=rubric.response_format(),
    )
    images = images_of(workspace, data) if settings.sees else {}

    def reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        from vlt.train.rewards import text_of

        rows = [
            _row(text_of(completion), {n: columns[n][i] for n in GIVEN}, images)
            for i, completion in enumerate(completions)
        ]
        asked = [_asked(settings, row, judge) for row in rows]
        replies = iter(judge.replies([each for each in asked if not isinstance(each, str)]))
        values: list[float | None] = []
        step = getattr(columns.get("trainer_state"), "global_step", 0)
        for each, row in zip(asked, rows, strict=True):
            reply: Completion | str = each if isinstance(each, str) else next(replies)
            found = said(reply, rubric, shown_of(rubric, row))
            if found.verdict == UNJUDGED:
                missed.count(step, settings.name, found.reason)
            values.append(settings.value(found))
        return values

    reward.__name__ = settings.name
    reward.leaves_out = True  # type: ignore[attr-defined]
    return reward


def images_of(workspace: Workspace, data: str) -> dict[str, list[str]]:
    """Item id -> its images (sha256), for all rows of a version, kept or dropped."""
    columns = ["id", "images"]
    found: dict[str, list[str]] = {}
    for batch in with_dropped(workspace.open(data), columns):
        found.update(zip(*(batch.column(n).to_pylist() for n in columns), strict=True))
    return found


def _row(text: str, given: Mapping[str, Any], images: Mapping[str, list[str]]) -> dict[str, Any]:
    """The completion as a sample of its item."""
    return {
        **given,
        "images": images.get(given["id"], []),
        "response": text,
        "reasoning": split_reasoning(text)[0],
        "predicted": extract(text),
    }


def _asked(settings: JudgeReward, row: dict[str, Any], judge: Judge) -> list[Message] | str:
    return messages_for(settings.rubric, row, image=settings.sees, size=judge.model.size)
