"""The settings of a generation stage, besides its rows and the model: one object for all stages."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge

from vlt.datagen.paper_prompts import CAPTION, REASONING, ROLLOUT
from vlt.engine.limits import Limits
from vlt.errors import UsageError
from vlt.fields import FORBID, Option
from vlt.prompts import Prompt
from vlt.request import Sampling

Images = Literal["own", "none", "swapped", "noise"]
"""What a model is shown of an item: see vlt.datagen.shown."""


@dataclass(frozen=True, kw_only=True)
class Draw(Sampling):
    """How samples are drawn, and how many of each row."""

    __pydantic_config__ = FORBID

    k: Annotated[int, Ge(1), Option("-k")] = 1
    """Samples per row."""
    until_correct: Annotated[int | None, Ge(1)] = None
    """Draw k more samples of a row until this many are correct."""
    max_samples: Annotated[int | None, Ge(1)] = None
    """With --until-correct: maximum samples per row. [4 k]"""
    shuffle_choices: bool = False
    """Show a question's choices in a different order for each sample, which exposes guessing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.until_correct is None:
            if self.max_samples is not None:
                raise UsageError(
                    "--max-samples needs --until-correct; without it, -k is the number of samples"
                )
            return
        if self.max_samples is None:
            object.__setattr__(self, "max_samples", 4 * self.k)
        if (self.max_samples or 0) < max(self.k, self.until_correct):
            raise UsageError(
                f"--max-samples {self.max_samples} is less than -k {self.k} or --until-correct "
                f"{self.until_correct}; give a larger one"
            )

    @property
    def sampling(self) -> Sampling:
        """The settings that go into a request."""
        return Sampling(**{f.name: getattr(self, f.name) for f in fields(Sampling)})

    def parameters(self) -> dict[str, Any]:
        """The settings that belong to a stage's identity."""
        until: dict[str, Any] = {}
        if self.until_correct:
            until = {"until_correct": self.until_correct, "max_samples": self.max_samples}
        shuffled = {"shuffle_choices": True} if self.shuffle_choices else {}
        return {"sampling": self.sampling.as_json(), "k": self.k, **until, **shuffled}

    @property
    def prompts_a_row(self) -> int:
        """The number of different prompts of a row: one, or one per sample if choices are shuffled."""
        return (self.max_samples or self.k) if self.shuffle_choices else 1


@dataclass(frozen=True, kw_only=True)
class Asking(Draw, Limits):
    """What is asked for every row, how often, and what it may cost."""

    prompt: Annotated[Prompt, Option(metavar="FILE")]
    """The user prompt, with the slots {question} and {caption}."""
    limit: Annotated[int | None, Ge(1)] = None
    """Take only the first N rows."""
    images: Images = "own"
    """Images shown: the item's own, none, swapped (another item's), or noise of the same size."""
    retry_failed: bool = False
    """Ask again for failed rows, as a new version."""
    probe: Annotated[int | None, Option(hidden=True)] = None
    """Send only this many requests, count the others and raise Planned: a dry run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.images not in get_args(Images):
            raise UsageError(
                f"images {self.images!r} is not known; write one of {', '.join(get_args(Images))}"
            )

    def parameters(self) -> dict[str, Any]:
        """The settings that belong to a stage's identity."""
        images = {} if self.images == "own" else {"images": self.images}
        parameters = {**super().parameters(), "limit": self.limit, **images}
        return {**parameters, "prompt": self.prompt.as_json()}

    def refuse(self, stage: str, *names: str) -> None:
        """Raises UsageError if a setting is given that does not apply to a stage."""
        for name in names:
            if getattr(self, name) != getattr(Asking, name):
                raise UsageError(f"{stage} take no {name.replace('_', ' ')}; leave it out")


CAPTIONS = Asking(prompt=CAPTION, temperature=0.0, max_tokens=1024)
"""The defaults for captions."""
REASONS = Asking(prompt=REASONING, k=4, temperature=0.6, top_p=0.95, max_tokens=8192)
"""k as in the paper; the rest as DeepSeek advises for the R1 distillations."""
ROLLOUTS = Asking(prompt=ROLLOUT, k=4, temperature=1.0, top_p=0.99, max_tokens=2048)
"""Paper, table 8: the rollouts of GRPO."""
EVALUATION = Asking(prompt=ROLLOUT, temperature=0.0)
"""Evaluations sample greedily, with GRPO's training prompt."""
