"""A recipe: one YAML file with the models, sources, stages and training settings of every round.

What stands at the top level holds for all rounds; a round repeats only what it changes. See
recipes/miniature.yaml for a whole one. Unknown keys are refused, so a typing error never becomes a
default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import vlt
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.filters.registry import located, parse_chain
from vlt.plugins import beside, is_path
from vlt.runs.fields import Decontamination, Evaluation, Models, Prompts, Recipe, Source
from vlt.runs.phases import has_phases, with_files

__all__ = ["BUNDLED", "Recipe", "find_recipe", "load_recipe"]

BUNDLED = Path(vlt.__file__).parent / "recipes"

SHARED = ("captions", "reasoning", "rollouts", "filters", "sft", "grpo")
"""Keys of a round that the top level may set for all of them."""


def find_recipe(recipe: str) -> Path:
    """The file, or the bundled recipe of that name."""
    for candidate in (Path(recipe), BUNDLED / recipe, BUNDLED / f"{recipe}.yaml"):
        if candidate.is_file():
            return candidate
    bundled = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.yaml")))
    raise UsageError(
        f"no recipe {recipe!r}; name a YAML file, or one that comes with vlt: {bundled}"
    )


def load_recipe(recipe: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Read and check a recipe; `changes` are dotted keys (`seed`, `rounds.0.sft.settings.max_steps`).

    Raises UsageError with the key and its value where something is not as it must be.
    """
    file = find_recipe(recipe)
    try:
        tree = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise UsageError(f"recipe {str(file)!r} is not YAML ({where}); mend that line") from None
    if not isinstance(tree, dict):
        raise UsageError(f"recipe {str(file)!r} is not a mapping; see recipes/miniature.yaml")
    for key, value in (changes or {}).items():
        _set(tree, key, value, file)
    tree = _numbers(tree)
    try:
        parsed = Recipe.model_validate(_share(tree, file.parent))
    except ValidationError as error:
        raise UsageError(_sentence(file, error)) from None
    whole = _with_paths(parsed, file.parent.resolve())
    _load_functions(whole, file)
    return whole


def _load_functions(recipe: Recipe, file: Path) -> None:
    """Raises UsageError where a filter or a prompt cannot be had, before anything is spent."""
    named: dict[str, Callable[[], Any]] = {
        f"prompts.{name}": prompt.prompt for name, prompt in recipe.prompts if prompt
    }
    for number, settings in enumerate(recipe.rounds):
        named[f"rounds.{number}.filters"] = partial(parse_chain, settings.filters)
    for where, load in named.items():
        try:
            load()
        except UsageError as error:
            raise UsageError(f"recipe {str(file)!r}: {where}: {error}") from None


def _prompts(prompts: Prompts, folder: Path) -> Prompts:
    """Functions that are named by a file: from the recipe's folder on."""
    changes = {
        name: prompt.model_copy(update={"user": beside(prompt.user, folder)})
        for name, prompt in prompts
        if prompt and is_path(prompt.user)
    }
    return prompts.model_copy(update=changes)


def _share(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Merge the top level's shared keys into each round; a round's own keys win, mappings merge."""
    tree = {beside(str(key), folder): value for key, value in tree.items()}
    shared = {k: v for k, v in tree.items() if k in SHARED or has_phases(k)}
    rest = {key: value for key, value in tree.items() if key not in shared}
    rounds = rest.get("rounds")
    if isinstance(rounds, list):
        rest["rounds"] = [
            _merge(shared, {beside(str(k), folder): v for k, v in r.items()})
            if isinstance(r, dict)
            else r
            for r in rounds
        ]
    return rest


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        merged = {**below}
        for key, value in above.items():
            merged[key] = _merge(below[key], value) if key in below else value
        return merged
    return above


def _set(tree: Any, key: str, value: Any, file: Path) -> None:
    *path, last = key.split(".")
    try:
        for step in path:
            tree = tree[int(step)] if isinstance(tree, list) else tree.setdefault(step, {})
        tree[int(last) if isinstance(tree, list) else last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise UsageError(f"--set {key!r} does not fit recipe {str(file)!r}; see its keys") from None


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads 1e-6 as text; in a recipe it is a number."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, str) and value[:1] in "0123456789.-" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentence(file: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(step) for step in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"recipe {str(file)!r} has an unknown key {key!r}; remove or correct it{more}"
    if first["type"] in ("missing", "missing_argument"):
        return f"recipe {str(file)!r} lacks the key {key!r}; add it{more}"
    value = repr(first["input"])
    value = value if len(value) < 80 else value[:77] + "..."
    return f"recipe {str(file)!r}: {key} = {value} is not right: {first['msg'].lower()}{more}"


def _with_paths(recipe: Recipe, folder: Path) -> Recipe:
    """./x means a file or directory beside the recipe, so that a recipe runs from anywhere."""

    def beside(name: str) -> str:
        return str((folder / name).resolve()) if name.startswith(("./", "../")) else name

    def use(model: Model) -> Model:
        return replace(model, model=beside(model.model))

    def sources(items: list[Source]) -> list[Source]:
        return [
            replace(
                s,
                source=beside(s.source),
                image_root=folder / s.image_root if s.image_root else None,
            )
            for s in items
        ]

    rounds = [
        r.model_copy(
            update={
                "items": sources(r.items),
                "filters": located(r.filters, folder),
                "grpo": [
                    p.model_copy(
                        update={"items": sources(p.items), "train": with_files(p.train, folder)}
                    )
                    for p in r.grpo
                ],
                "phases": {
                    name: [replace(p, train=with_files(p.train, folder)) for p in phases]
                    for name, phases in r.phases.items()
                },
            }
        )
        for r in recipe.rounds
    ]
    m = recipe.models
    models = Models(base=use(m.base), captioner=use(m.captioner), reasoner=use(m.reasoner))

    def evaluation(items: Evaluation) -> Evaluation:
        return items.model_copy(update={"items": sources(items.items)})

    def kept_out(settings: Decontamination) -> Decontamination:
        return settings.model_copy(update={"against": sources(settings.against)})

    return recipe.model_copy(
        update={
            "rounds": rounds,
            "models": models,
            "prompts": _prompts(recipe.prompts, folder),
            "heldout": evaluation(recipe.heldout),
            "validation": recipe.validation and evaluation(recipe.validation),
            "decontaminate": recipe.decontaminate and kept_out(recipe.decontaminate),
        }
    )
