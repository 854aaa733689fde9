"""Everything that is wrong with a recipe, at once and each with its line, before anything is spent."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.filters.registry import parse_chain
from vlt.prompts import Prompt, check_slots
from vlt.runs.fields import PromptText, Recipe, Round
from vlt.runs.lines import line_at, lines_of
from vlt.train.method import Method, find_method
from vlt.train.settings import Training, check_pixels
from vlt.train.trl_settings import resolve

Path_ = tuple[Any, ...]
"""Keys and places from the recipe's top to a value."""
TRIES = 20
"""How often a recipe is read again without what was wrong with it, to find what else is."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong."""

    says: str
    line: int | None = None
    """Of the file, where it stands there."""


def sentence_of(file: Path, faults: Sequence[Fault]) -> str:
    """One fault as a sentence, several as a list in the order of their lines."""
    distinct = sorted(dict.fromkeys(faults), key=lambda f: (f.line or 0, f.says))
    said = [f"line {f.line}: {f.says}" if f.line else f.says for f in distinct]
    if len(said) == 1:
        return f"recipe {str(file)!r}: {said[0]}"
    return "\n  ".join([f"recipe {str(file)!r} has {len(said)} faults", *said])


def parse(tree: Any) -> tuple[Recipe | None, list[Fault]]:
    """The recipe without what is wrong with it, and that; None where too little is left."""
    faults: list[Fault] = []
    rest = copy.deepcopy(tree)
    for _ in range(TRIES):
        try:
            return Recipe.model_validate(rest), faults
        except ValidationError as error:
            found = error.errors()
            faults += [Fault(_says(each), line_at(tree, each["loc"])) for each in found]
            # All are asked for, whichever come first: an any() would stop at the first.
            if not sum(_take_out(rest, each["loc"]) for each in found):
                return None, faults
    return None, faults


def _says(error: Any) -> str:
    key = ".".join(str(step) for step in error["loc"])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key!r}; remove or correct it"
    if error["type"] in ("missing", "missing_argument"):
        return f"it lacks the key {key!r}; add it"
    if not key:  # of the recipe as a whole
        return str(error["msg"]).removeprefix("Value error, ")
    value = repr(error["input"])
    value = value if len(value) < 80 else value[:77] + "..."
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key} = {value} is not right: {message[:1].lower()}{message[1:]}"


def _take_out(tree: Any, path: Sequence[Any]) -> bool:
    """Take the value out of the tree, if it is there."""
    for step in path[:-1]:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return False
    last = path[-1] if path else None
    if isinstance(tree, dict) and last in tree:
        del tree[last]
        return True
    if isinstance(tree, list) and isinstance(last, int) and last < len(tree):
        tree[last] = None
        return False  # what stands behind it would change its place
    return False


def faults_of(recipe: Recipe, tree: Any, *, to_run: bool) -> list[Fault]:
    """What a recipe that reads well would fail at later: filters, trainings, prompts; to run it, files."""
    found = []
    for path, check in [*_prompts(recipe), *(_files(recipe) if to_run else ())]:
        try:
            check()
        except UserError as error:
            found.append(Fault(f"{'.'.join(map(str, path))}: {error}", line_at(tree, path)))
    for number, settings in enumerate(recipe.rounds):
        where: Path_ = ("rounds", number)
        found += _filters(settings, (*where, "filters"), tree)
        for path, method, train in _trainings(settings, where):
            found += _settings(method, train, path, tree)
    return found


def _prompts(recipe: Recipe) -> Iterator[tuple[Path_, Callable[[], object]]]:
    prompts = recipe.prompts
    needs = (("caption", None), ("reasoning", "question"), ("rollout", "question"))
    for name, slot in (*needs, ("direct", "question")):
        text: PromptText | None = getattr(prompts, name)
        if text:
            yield ("prompts", name), lambda t=text, s=slot: _asks(t, s)  # type: ignore[misc]


def _files(recipe: Recipe) -> Iterator[tuple[Path_, Callable[[], object]]]:
    for name in recipe.models.names:
        model = recipe.models.named(name)
        if model:
            yield ("models", name), lambda m=model.model: _is_model(m)  # type: ignore[misc]
        if model and model.pixels:
            yield ("models", name, "pixels"), model.sized
    base = recipe.models.base
    for number, settings in enumerate(recipe.rounds):
        for path, method, train in _trainings(settings, ("rounds", number)):
            yield path, lambda m=method, t=train: m.execution(t)  # type: ignore[misc]
            if train.pixels:
                yield (
                    (*path, "pixels"),
                    lambda m=method, t=train: _can_be_shown(m, t, base),  # type: ignore[misc]
                )
    for path, sources in _sources(recipe):
        for place, source in enumerate(sources):
            yield (*path, place), lambda s=source.source: _is_there(s)  # type: ignore[misc]


def _sources(recipe: Recipe) -> Iterator[tuple[Path_, Iterable[Any]]]:
    if recipe.heldout:
        yield ("heldout", "items"), recipe.heldout.items
    if recipe.validation:
        yield ("validation", "items"), recipe.validation.items
    for number, settings in enumerate(recipe.rounds):
        yield ("rounds", number, "items"), settings.items
        for place, phase in enumerate(settings.grpo):
            yield ("rounds", number, "grpo", place, "items"), phase.items


def _is_there(source: str) -> None:
    """Sources that begin as paths must be there; a name and a Hub id are looked up when they are read."""
    path = source.rpartition(":")[0] if ".py:" in source else source
    if (
        os.path.isabs(path)
        and not any(letter in path for letter in "*?[")
        and not os.path.exists(path)
    ):
        raise UserError(f"there is no file or folder {source!r}; correct the path")


def _can_be_shown(method: Method, train: Training, base: Model) -> None:
    """Every student has the base model's processor, so it is asked whether it can keep the range."""
    from vlt.engine.size_rule import resolved
    from vlt.images.pixels import Pixels

    pixels = Pixels(**(check_pixels(train.pixels) or {}))
    try:
        execution = method.execution(train)
    except UserError:  # a fault of its own
        return
    served = bool({**execution, **train.settings}.get("use_vllm"))
    resolved(pixels, base.model, base.revision, served=served)


def _is_model(model: str) -> None:
    if os.path.isabs(model) and not os.path.isfile(os.path.join(model, "config.json")):
        raise UserError(f"{model!r} is no model's folder (it has no config.json); correct the path")


def _asks(text: PromptText, slot: str | None) -> None:
    prompt = text.prompt()
    if type(prompt) is Prompt:
        check_slots(prompt, needs=slot)


def _filters(settings: Round, path: Path_, tree: Any) -> Iterator[Fault]:
    """What is wrong with each filter; and with the chain, where each alone is right."""
    alone = 0
    for place, entry in enumerate(settings.filters):
        try:
            parse_chain([entry])
        except UserError as error:
            alone += 1
            name = ".".join(map(str, (*path, place)))
            line = line_at(tree, (*path, place, *_first_key(entry)))
            yield Fault(f"{name}: {error}", line)
    if not alone:
        try:
            parse_chain(settings.filters)
        except UserError as error:
            yield Fault(f"{'.'.join(map(str, path))}: {error}", line_at(tree, path))


def _first_key(entry: Any) -> tuple[Any, ...]:
    return (next(iter(lines_of(entry))),) if lines_of(entry) else ()


def _trainings(settings: Round, where: Path_) -> Iterator[tuple[Path_, Method, Training]]:
    if settings.sft:
        yield (*where, "sft"), find_method("sft"), settings.sft
    for place, phase in enumerate(settings.grpo):
        yield (*where, "grpo", place, "train"), find_method("grpo"), phase.train
    for name, phases in settings.phases.items():
        for place, other in enumerate(phases):
            yield (*where, name, place, "train"), other.method, other.train


def _settings(method: Method, train: Training, path: Path_, tree: Any) -> Iterator[Fault]:
    """Each of TRL's fields by itself, so that all that are wrong are named; then what is vlt's."""
    from vlt.train.lora import check_lora

    for name, value in train.settings.items():
        try:
            resolve(method, {name: value}, images=True)
        except UserError as error:
            key = ".".join(map(str, (*path, "settings", name)))
            yield Fault(f"{key}: {error}", line_at(tree, (*path, "settings", name)))
    checks: tuple[tuple[Any, Any], ...] = ((check_lora, train.lora), (method.parameters, train))
    for check, told in checks:
        try:
            check(told)
        except UserError as error:
            yield Fault(f"{'.'.join(map(str, path))}: {error}", line_at(tree, path))
