"""A round's trainings in a recipe: SFT, then those by any other method, then GRPO."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from vlt.errors import UserError
from vlt.judging.rubric import beside as rubric_beside
from vlt.plugins import beside
from vlt.train.judge_reward import PREFIX, is_judge
from vlt.train.method import Method, find_method, is_method
from vlt.train.settings import Training

T = TypeVar("T", bound=Training)


@dataclass(frozen=True)
class MethodPhase:
    """One training of a round, between SFT and GRPO: `dpo: [{train: {...}}]`."""

    method: Method
    train: Any
    """The method's settings."""


def _as_fault(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Turn a UserError of settings into a fault of the recipe, which has a path."""
    try:
        return read(value)
    except UserError as error:
        raise ValueError(str(error)) from None


AS_FAULT = WrapValidator(_as_fault)


def of_a_recipe(train: T) -> T:
    """Refuse what a recipe sets elsewhere."""
    if train.prompt:
        raise ValueError("a training uses the recipe's prompts.rollout; set the prompt there")
    if getattr(train, "difficulty", None):
        raise ValueError("difficulty is a key of the phase; write it beside train")
    return train


def switched(value: Any) -> Any:
    """`on` is one training with the defaults, `off` is none."""
    return [{}] if value is True else [] if value is False or value is None else value


def has_phases(key: str) -> bool:
    """Whether a recipe may list trainings under this key, besides `sft` and `grpo`."""
    return key not in ("sft", "grpo") and is_method(key)


def method_phases(key: str, given: Any) -> list[MethodPhase]:
    """What a recipe lists under a method's name (`off`: nothing, `on`: one with the defaults); raises
    pydantic's ValidationError, with the key in its path."""
    given = switched(given)
    method = find_method(key)
    settings: Any = method.training
    train: Any = Annotated[settings, AS_FAULT, AfterValidator(of_a_recipe)]
    strict = ConfigDict(extra="forbid")
    phase = create_model("Phase", __config__=strict, train=(train, settings()))
    listed: type[BaseModel] = create_model("Listed", **{key: (list[phase], ...)})  # type: ignore[call-overload]
    found = getattr(listed.model_validate({key: given}), key)
    return [MethodPhase(method, each.train) for each in found]


def hints_of(hints: str | None, number: int) -> tuple[int, str] | None:
    """The step whose samples provide hints: sft of round `number`, or of another round (sft@r1)."""
    found = re.fullmatch(r"sft(?:@r(\d+))?", hints or "")
    return (int(found[1] or number), "sft") if found else None


def with_files(train: T, folder: Path) -> T:
    """Resolve the files of the user's functions and rubrics from the recipe's folder."""
    changes: dict[str, Any] = {}
    for f in fields(train):
        value = getattr(train, f.name)
        if isinstance(value, dict) and f.name not in ("settings", "lora", "pixels"):
            changes[f.name] = {
                _named(str(name), folder): beside(each, folder) if isinstance(each, str) else each
                for name, each in value.items()
            }
    return replace(train, **changes)


def _named(name: str, folder: Path) -> str:
    """A reward's name: judge:./mine.yaml and ./mine.py:polite name files."""
    if is_judge(name):
        return PREFIX + rubric_beside(name.removeprefix(PREFIX), folder)
    return beside(name, folder)
