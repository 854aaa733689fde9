"""A recipe: one YAML file with the models, sources, stages and training settings of every round.

What stands at the top level holds for all rounds; a round repeats only what it changes. See
recipes/miniature.yaml for a whole one. Unknown keys are refused, so a typing error never becomes a
default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import vlt
from vlt.engine.model import Model
from vlt.errors import UsageError
from vlt.filters.registry import located
from vlt.plugins import beside, is_path
from vlt.runs.faults import faults_of, parse, sentence_of
from vlt.runs.fields import Decontamination, Evaluation, Prompts, Recipe, Source
from vlt.runs.lines import Lined, lines_of, read_lined
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


def load_recipe(
    recipe: str,
    changes: dict[str, Any] | None = None,
    *,
    to_run: bool = False,
    arm: str | None = None,
) -> Recipe:
    """Read and check a recipe; `changes` are dotted keys (`seed`, `rounds.0.sft.settings.max_steps`).

    `to_run`: its files and model folders must be there, too. `arm`: the recipe as that arm has it.

    Raises UsageError that names every fault, each with its line: unknown keys and values, filters and
    their settings, fields of TRL's, rewards, prompts, files and functions of one's own.
    """
    file = find_recipe(recipe)
    tree = read_lined(file)
    if not isinstance(tree, dict):
        raise UsageError(f"recipe {str(file)!r} is not a mapping; see recipes/miniature.yaml")
    for key, value in (changes or {}).items():
        _set(tree, key, value, file)
    differs = _of_arm(tree, arm, file) if arm else {}
    each_round = differs.get("each_round", {})
    tree = _merge(tree, {key: value for key, value in differs.items() if key != "each_round"})
    shared = _share(tree, file.parent, each_round)
    parsed, faults = parse(shared)
    whole = None
    if parsed is not None:
        whole = _with_paths(parsed, file.parent.resolve())
        faults += faults_of(whole, shared, to_run=to_run)
    if faults or whole is None:
        raise UsageError(sentence_of(file, faults))
    return whole


def _share(tree: dict[str, Any], folder: Path, each_round: dict[str, Any]) -> dict[str, Any]:
    """Merge the top level's shared keys into each round; a round's own keys win, mappings merge.

    What an arm says of each round wins over both.
    """
    tree = renamed(tree, folder)
    shared = Lined({k: v for k, v in tree.items() if k in SHARED or has_phases(k)}, lines_of(tree))
    rest = Lined({key: value for key, value in tree.items() if key not in shared}, lines_of(tree))
    rounds = rest.get("rounds")
    if isinstance(rounds, list):
        rest["rounds"] = [
            _merge(_merge(shared, renamed(r, folder)), renamed(each_round, folder))
            if isinstance(r, dict)
            else r
            for r in rounds
        ]
    return rest


def _of_arm(tree: dict[str, Any], arm: str, file: Path) -> dict[str, Any]:
    arms = tree.get("arms") or {}
    if arm not in arms:
        known = ", ".join(arms) if arms else "none"
        raise UsageError(f"recipe {str(file)!r} has no arm {arm!r}; there are {known}")
    found: dict[str, Any] = arms[arm] or {}
    return found


def renamed(tree: dict[Any, Any], folder: Path) -> Lined:
    """Keys that name a file of one's own (a training method) name it from anywhere."""
    lines = {beside(str(key), folder): line for key, line in lines_of(tree).items()}
    return Lined({beside(str(key), folder): value for key, value in tree.items()}, lines)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        merged = Lined({**below}, {**lines_of(below), **lines_of(above)})
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


def _prompts(prompts: Prompts, folder: Path) -> Prompts:
    """Functions that are named by a file: from the recipe's folder on."""
    changes = {
        name: prompt.model_copy(update={"user": beside(prompt.user, folder)})
        for name, prompt in prompts
        if prompt and is_path(prompt.user)
    }
    return prompts.model_copy(update=changes)


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
    named = {name: model for name in m.names if (model := m.named(name))}
    models = m.model_copy(update={name: use(model) for name, model in named.items()})

    def evaluation(items: Evaluation) -> Evaluation:
        return items.model_copy(update={"items": sources(items.items)})

    def kept_out(settings: Decontamination) -> Decontamination:
        return settings.model_copy(update={"against": sources(settings.against)})

    return recipe.model_copy(
        update={
            "rounds": rounds,
            "models": models,
            "prompts": _prompts(recipe.prompts, folder),
            "heldout": recipe.heldout and evaluation(recipe.heldout),
            "validation": recipe.validation and evaluation(recipe.validation),
            "decontaminate": recipe.decontaminate and kept_out(recipe.decontaminate),
        }
    )
