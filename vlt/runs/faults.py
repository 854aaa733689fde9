"""Everything that is wrong with a recipe, all at once with line numbers, before anything is spent."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlt.cluster.address import ray_address
from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.filters.registry import parse_chain
from vlt.judging.rubric import load_rubric
from vlt.prompts import check_slots
from vlt.runs.fields import IN_WORKSPACE, PromptText, Recipe, Round, Source
from vlt.runs.lines import line_at, lines_of
from vlt.runs.misfits import misfits
from vlt.train.method import Method, find_method
from vlt.train.settings import Training, check_pixels
from vlt.train.trl_settings import resolve

Path_ = tuple[Any, ...]
"""Keys and indices from the recipe's top to a value."""
TRIES = 20
"""How often a recipe is parsed again without what was wrong with it, to find further faults."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong."""

    says: str
    line: int | None = None
    """In the file, if it is there."""


def sentence_of(file: Path, faults: Sequence[Fault]) -> str:
    """One fault as a sentence, several as a list in the order of their lines."""
    distinct = sorted(dict.fromkeys(faults), key=lambda f: (f.line or 0, f.says))
    found = [f"line {f.line}: {f.says}" if f.line else f.says for f in distinct]
    if len(found) == 1:
        return f"recipe {str(file)!r}: {found[0]}"
    return "\n  ".join([f"recipe {str(file)!r} has {len(found)} faults", *found])


@dataclass
class Parsed:
    """A recipe as far as it can be parsed, and the faults of the rest."""

    recipe: Recipe | None
    """Without what is wrong with it; None if too little is left."""
    faults: list[Fault]
    without: set[Path_]
    """What was left out or replaced: no further faults are reported there."""

    def reported(self, path: Path_) -> bool:
        """Whether a fault at this path is to be reported, and not a consequence of what was left out."""
        return not self.silent(path) and not any(p[: len(path)] == path for p in self.without if p)

    def silent(self, path: Path_) -> bool:
        """Whether this path is inside what was left out."""
        return any(path[: end + 1] in self.without for end in range(len(path)))


def parse(tree: Any, open_: set[Path_] | None = None) -> Parsed:
    """Parse a recipe repeatedly, each time without what was wrong with it, to find all faults.

    `open_` are paths of placeholders without a value, which have been reported already.
    """
    parsed = Parsed(None, [], set(open_ or ()))
    rest = copy.deepcopy(tree)
    for _ in range(TRIES):
        try:
            parsed.recipe = Recipe.model_validate(rest)
            return parsed
        except ValidationError as error:
            found = error.errors()
        new = [each for each in found if not parsed.silent(each["loc"])]
        parsed.faults += [Fault(_says(each), line_at(tree, each["loc"])) for each in new]
        # If a part is still wrong after something was left out of it, leave out the whole part.
        wrong = [each["loc"] for each in new] or [each["loc"][:-1] for each in found]
        if not all(wrong):
            return parsed
        for path in wrong:
            parsed.without.add(path)
            _leave_out(rest, path)
    return parsed


STANDS_IN: dict[Any, Any] = {
    "name": "?",
    "models": {"base": {"model": "?"}},
    "base": {"model": "?"},
    "model": "?",
    "user": "{question}",
    "source": "?",
    "sees": "image",
    "items": [],
    "rounds": [{"items": []}],
}
"""Stand-ins for required keys, so that the rest of the recipe can be parsed."""


def _leave_out(tree: Any, path: Path_) -> None:
    """Remove the value from the tree; a required one is replaced by a stand-in."""
    *way, last = path
    for step in way:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(tree, list) and isinstance(last, int) and last < len(tree):
        listed = way[-1] if way else None  # the following entries must keep their index
        tree[last] = {"rounds": {"items": []}, "items": {"source": "?"}}.get(str(listed), {})
    elif isinstance(tree, dict):
        tree.pop(last, None)
        if last in STANDS_IN:
            tree[last] = copy.deepcopy(STANDS_IN[last])


def _says(error: Any) -> str:
    key = ".".join(str(step) for step in error["loc"])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key!r}; remove or correct it"
    if error["type"] in ("missing", "missing_argument"):
        return f"the key {key!r} is missing; add it"
    if not key:  # about the recipe as a whole
        return str(error["msg"]).removeprefix("Value error, ")
    value = repr(error["input"])
    value = value if len(value) < 80 else value[:77] + "..."
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key} = {value} is not valid: {message[:1].lower()}{message[1:]}"


def faults_of(parsed: Parsed, recipe: Recipe, tree: Any, *, to_run: bool) -> list[Fault]:
    """What a recipe that parses would fail on later: filters, trainings, prompts; with `to_run`, files.

    `recipe` is the parsed one, with its files' paths resolved.
    """
    found: list[tuple[Path_, str]] = list(misfits(recipe))
    for path, check in [*_prompts(recipe), *(_files(recipe) if to_run else ())]:
        try:
            check()
        except UserError as error:
            found.append((path, f"{'.'.join(map(str, path))}: {error}"))
    for number, settings in enumerate(recipe.rounds):
        where: Path_ = ("rounds", number)
        found += _filters(settings, (*where, "filters"))
        for path, method, train in _trainings(settings, where):
            found += _settings(method, train, path)
    return [Fault(says, line_at(tree, path)) for path, says in found if parsed.reported(path)]


def _prompts(recipe: Recipe) -> Iterator[tuple[Path_, Callable[[], object]]]:
    prompts = recipe.prompts
    needs = (("caption", None), ("reasoning", "question"), ("rollout", "question"))
    for name, slot in (*needs, ("direct", "question")):
        text: PromptText | None = getattr(prompts, name)
        if text:
            yield ("prompts", name), lambda t=text, s=slot: _asks(t, s)  # type: ignore[misc]
    for number, settings in enumerate(recipe.rounds):
        for place, teacher in enumerate(settings.teacher):
            if teacher.prompt:
                where = ("rounds", number, "teacher", place, "prompt")
                yield where, lambda t=teacher.prompt: _asks(t, "question")  # type: ignore[misc]
        for place, use in enumerate(settings.judge):
            where = ("rounds", number, "judge", place, "rubric")
            yield where, lambda r=use.rubric: load_rubric(r)  # type: ignore[misc]


def _files(recipe: Recipe) -> Iterator[tuple[Path_, Callable[[], object]]]:
    cluster = recipe.cluster or ray_address()
    for name in recipe.models.names:
        model = recipe.models.named(name)
        if model:
            yield ("models", name), lambda m=model.model: _is_model(m)  # type: ignore[misc]
        if model:
            yield ("models", name), lambda m=model: m.check_cluster(cluster)  # type: ignore[misc]
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
    for place, named in enumerate(recipe.decontaminate.against if recipe.decontaminate else []):
        if named.source not in ("heldout", "validation"):
            where = ("decontaminate", "against", place)
            yield where, lambda s=named: _is_there(s)  # type: ignore[misc]
    for path, sources in _sources(recipe):
        for place, source in enumerate(sources):
            yield (*path, place), lambda s=source: _is_there(s)  # type: ignore[misc]


def _sources(recipe: Recipe) -> Iterator[tuple[Path_, Iterable[Any]]]:
    if recipe.heldout:
        yield ("heldout", "items"), recipe.heldout.items
    if recipe.validation:
        yield ("validation", "items"), recipe.validation.items
    for number, settings in enumerate(recipe.rounds):
        yield ("rounds", number, "items"), settings.items
        for place, phase in enumerate(settings.grpo):
            yield ("rounds", number, "grpo", place, "items"), phase.items


def _is_there(source: Source) -> None:
    """Check names, paths and functions; Hub ids are checked when read, datasets before the run."""
    from vlt.datagen.sources.locate import check_source

    if not source.source.startswith(IN_WORKSPACE):
        check_source(source.source, source.settings)


def _can_be_shown(method: Method, train: Training, base: Model) -> None:
    """Check that the base model's processor, which every student has, can keep to the range."""
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
        raise UserError(f"{model!r} is not a model folder (no config.json); correct the path")


def _asks(text: PromptText, slot: str | None) -> None:
    check_slots(text.prompt(), needs=slot)


def _filters(settings: Round, path: Path_) -> Iterator[tuple[Path_, str]]:
    """What is wrong with each filter; and with the chain, if each filter is valid."""
    alone = 0
    for place, entry in enumerate(settings.filters):
        try:
            parse_chain([entry])
        except UserError as error:
            alone += 1
            name = ".".join(map(str, (*path, place)))
            yield (*path, place, *_first_key(entry)), f"{name}: {error}"
    if not alone:
        try:
            parse_chain(settings.filters)
        except UserError as error:
            yield path, f"{'.'.join(map(str, path))}: {error}"


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


def _settings(method: Method, train: Training, path: Path_) -> Iterator[tuple[Path_, str]]:
    """Check each of TRL's fields by itself, so that all faults are reported; then vlt's settings."""
    from vlt.train.lora import check_lora

    for name, value in train.settings.items():
        try:
            resolve(method, {name: value}, images=True)
        except UserError as error:
            key = (*path, "settings", name)
            yield key, f"{'.'.join(map(str, key))}: {error}"
    alone = 0
    for name, check, given in [("lora", check_lora, train.lora), *_own(method, train)]:
        try:
            check(given)
        except UserError as error:
            alone += 1
            yield (*path, name), f"{'.'.join(map(str, path))}: {error}"
    if not alone:
        try:
            method.parameters(train)
        except UserError as error:
            yield path, f"{'.'.join(map(str, path))}: {error}"


def _own(method: Method, train: Training) -> Iterator[tuple[str, Callable[[Any], object], Any]]:
    """The method's own settings, each by itself."""
    for name, value in method.own(train).items():
        try:
            yield name, method.parameters, method.training(**{name: value})
        except UserError:  # it needs other settings
            continue
