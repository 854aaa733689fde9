"""A recipe: one YAML file with the models, sources, stages and training settings of every round.

The top level holds for all rounds; a round contains only what differs. See recipes/miniature.yaml for a
complete one. Unknown keys are refused, so a typo is never ignored in favour of a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import vlt
from vlt.engine.model import Model
from vlt.errors import UsageError, UserError
from vlt.filters.registry import located
from vlt.judging.rubric import beside as rubric_beside
from vlt.plugins import beside, is_path
from vlt.runs.faults import Fault, faults_of, parse, sentence_of
from vlt.runs.fields import Decontamination, Evaluation, Prompts, PromptText, Recipe, Source
from vlt.runs.lines import Lined, line_at, lines_of, path_to, read_lined
from vlt.runs.phases import has_phases, with_files
from vlt.runs.placeholders import filled_in
from vlt.runs.ready import unreachable, unready
from vlt.runs.step import Step

__all__ = ["BUNDLED", "Recipe", "find_recipe", "load_recipe"]

BUNDLED = Path(vlt.__file__).parent / "recipes"

SHARED = ("captions", "reasoning", "rollouts", "judge", "filters", "sft", "grpo")
"""Keys of a round that the top level may set for all of them."""


def find_recipe(recipe: str) -> Path:
    """The file, or the bundled recipe of that name."""
    for candidate in (Path(recipe), BUNDLED / recipe, BUNDLED / f"{recipe}.yaml"):
        if candidate.is_file():
            return candidate
    bundled = ", ".join(sorted(file.stem for file in BUNDLED.glob("*.yaml")))
    raise UsageError(
        f"no recipe {recipe!r}; name a YAML file (`vlt init DATA` writes one), or one that comes "
        f"with vlt: {bundled}"
    )


def load_recipe(
    recipe: str,
    changes: dict[str, Any] | None = None,
    *,
    to_run: bool = False,
    arm: str | None = None,
) -> Recipe:
    """Read and check a recipe; `changes` are dotted keys (`seed`, `rounds.0.sft.settings.max_steps`).

    `to_run`: its files and model folders must exist, too. `arm`: the recipe with that arm's changes.

    Raises UsageError that names every fault, each with its line: unknown keys and values, filters and
    their settings, TRL's fields, rewards, prompts, the user's files and functions.
    """
    file = find_recipe(recipe)
    tree = read_lined(file)
    if not isinstance(tree, dict):
        raise UsageError(f"recipe {str(file)!r} is not a mapping; see recipes/miniature.yaml")
    for key, value in (changes or {}).items():
        _set(tree, key, value, file)
    whole, faults = _read(tree, file, arm, to_run)
    if to_run and arm is None and isinstance(arms := tree.get("arms"), dict):
        for name in arms:
            of_arm = [fault for fault in _read(tree, file, name, to_run)[1] if fault not in faults]
            faults += [replace(fault, says=f"arm {name}: {fault.says}") for fault in of_arm]
    if faults or whole is None:
        if to_run and whole is not None:  # report everything at once: also servers
            lines = {fault.line for fault in faults}
            for path, says in unreachable(whole, whole.models.names):
                if (line := line_at(tree, path)) not in lines:  # that line has another fault
                    faults.append(Fault(says, line))
        raise UsageError(sentence_of(file, faults))
    return whole


def _read(
    tree: dict[str, Any], file: Path, arm: str | None, to_run: bool
) -> tuple[Recipe | None, list[Fault]]:
    """The recipe of a tree, with an arm's changes, and all its faults; None if too little is left."""
    differs = _of_arm(tree, arm, file) if arm else {}
    if not isinstance(differs, dict):
        return None, [
            Fault(
                f"{differs!r} is not a mapping of the keys that differ",
                line_at(tree, ("arms", arm)),
            )
        ]
    each_round = differs.get("each_round") or {}
    tree = _merge(tree, {key: value for key, value in differs.items() if key != "each_round"})
    faults: list[Fault] = []
    open_: set[tuple[Any, ...]] = set()

    def say(path: tuple[Any, ...], says: str) -> None:
        faults.append(Fault(says, line_at(tree, path)))
        open_.add(path)

    tree = filled_in(tree, say)
    shared = _share(tree, file.parent, filled_in(each_round, say))
    parsed = parse(shared, open_)
    faults += parsed.faults
    if parsed.recipe is None:
        return None, faults
    whole = _with_paths(parsed.recipe, file.parent.resolve())
    return whole, faults + faults_of(parsed, whole, shared, to_run=to_run)


def check_ready(recipe: str, runs: Iterable[tuple[Recipe, Sequence[Step]]], root: Path) -> None:
    """Raises UserError that names everything missing that the steps need."""
    if faults := not_ready(recipe, runs, root):
        raise UserError(sentence_of(find_recipe(recipe), faults))


def not_ready(
    recipe: str, runs: Iterable[tuple[Recipe, Sequence[Step]]], root: Path
) -> list[Fault]:
    """What is missing (see vlt.runs.ready), with the lines of the file `recipe`."""
    tree = read_lined(find_recipe(recipe))
    found = []
    for loaded, steps in runs:
        for path, says in unready(loaded, steps, root):
            named = path if path[0] == "models" else path_to(tree, path[0])
            found.append(Fault(says, line_at(tree, named)))
    return list(dict.fromkeys(found))


def _share(tree: dict[str, Any], folder: Path, each_round: dict[str, Any]) -> dict[str, Any]:
    """Merge the top level's shared keys into each round; a round's own keys win, mappings merge.

    An arm's `each_round` wins over both.
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


def _of_arm(tree: dict[str, Any], arm: str, file: Path) -> Any:
    arms = tree.get("arms") or {}
    if arm not in arms:
        known = ", ".join(arms) if arms else "none"
        raise UsageError(f"recipe {str(file)!r} has no arm {arm!r}; its arms are {known}")
    return arms[arm] or {}


def renamed(tree: dict[Any, Any], folder: Path) -> Lined:
    """Make keys that name a file (the user's training method) independent of the working directory."""
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
        raise UsageError(
            f"--set {key!r} does not fit recipe {str(file)!r}; check its keys"
        ) from None


def _prompts(prompts: Prompts, folder: Path) -> Prompts:
    """Resolve the files of prompt functions from the recipe's folder."""
    changes = {name: _prompt(prompt, folder) for name, prompt in prompts if prompt}
    return prompts.model_copy(update=changes)


def _prompt(prompt: PromptText, folder: Path) -> PromptText:
    def placed(text: str) -> str:
        return beside(text, folder) if is_path(text) else text

    others = {
        source: other.model_copy(update={"user": placed(other.user)})
        for source, other in prompt.by_source.items()
    }
    return prompt.model_copy(update={"user": placed(prompt.user), "by_source": others})


def _with_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Resolve ./x from the recipe's folder, so that a recipe runs from anywhere."""

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
                "teacher": [
                    t.model_copy(update={"prompt": t.prompt and _prompt(t.prompt, folder)})
                    for t in r.teacher
                ],
                "items": sources(r.items),
                "judge": [replace(j, rubric=rubric_beside(j.rubric, folder)) for j in r.judge],
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
