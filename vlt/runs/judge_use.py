"""A recipe's `judge:` models judge the round's samples by rubrics, between generation and filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import BeforeValidator

from vlt.datagen.asking import Draw
from vlt.errors import UsageError
from vlt.fields import Written
from vlt.judging.rubric import load_rubric


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class JudgeUse(Draw):
    """One rubric, and the models that judge by it."""

    rubric: str
    """grounded, sound, caption, or a file of your own: ./mine.yaml."""
    model: Annotated[list[str], BeforeValidator(_several), Written(one=True)]
    """Names of `models`; with several judges the majority decides."""
    image: bool | None = None
    """Whether the judges see the image. [as the rubric says]"""
    temperature: Annotated[float, Ge(0)] = 0.0
    """0 is greedy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.until_correct is not None:
            raise UsageError("judges cannot sample until one is correct; leave out until_correct")
        if self.k > 1 and not self.temperature:
            raise UsageError(
                f"k = {self.k} judgements at temperature 0 are all the same; raise the temperature"
            )

    @property
    def name(self) -> str:
        """The rubric's name, as in judgements; raises UsageError if there is no such rubric."""
        return load_rubric(self.rubric).name
