"""Is all there that a run needs beside its recipe? Asked before anything is spent, and in a dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlt.cluster.address import on_cluster
from vlt.engine.model import Model
from vlt.engine.reachable import trouble
from vlt.runs.fields import IN_WORKSPACE, Recipe
from vlt.runs.preview import preview
from vlt.runs.stages import Import
from vlt.runs.step import Key, Step
from vlt.workspace.store import Store

Found = tuple[tuple[Any, ...], str]
"""Where in the recipe, and what is wrong there."""


def unready(
    recipe: Recipe, steps: Sequence[Step], root: Path, *, servers: bool = True
) -> list[Found]:
    """What the steps that are yet to be made would fail at: servers that are not there or do not serve
    the model (unless others ask `servers`), datasets that the workspace does not hold.

    Steps that are there need nobody: a finished run is found whole with its servers gone.
    """
    asked = _asked(recipe, steps) if servers else []
    found = [*unreachable(recipe, asked), *_datasets(recipe, steps, root)]
    if not found:
        return []
    there = preview(root, recipe, steps)
    missing = [step for step in steps if step.key not in there and not step.earlier]
    still = [("models", name) for name in _asked(recipe, missing)]
    sources = {s.stage.source.source for s in missing if isinstance(s.stage, Import)}
    return [(path, says) for path, says in found if path in still or (path and path[-1] in sources)]


def unreachable(recipe: Recipe, names: Sequence[str]) -> Iterator[Found]:
    """The models of these names that nobody would answer for."""
    models = [model for name in names if (model := recipe.models.named(name))]
    with on_cluster(recipe.cluster):
        found = trouble(models)
    for name, says in zip(names, found, strict=True):
        if says:
            yield ("models", name), f"models.{name}: {says}"


def _asked(recipe: Recipe, steps: Sequence[Step]) -> list[str]:
    """The names of the models that these steps ask; who is trained alone need not answer."""
    models = list(models_of(steps, trained=False))
    return [name for name in recipe.models.names if recipe.models.named(name) in models]


def models_of(steps: Sequence[Step], *, trained: bool = True) -> Iterator[Model | Key]:
    """Whom steps ask, and with `trained` whom they train: models, and the steps that make students."""
    for step in steps:
        for name in ("model", "start") if trained else ("model",):
            if (of := getattr(step.stage, name, None)) is not None:
                yield of
        yield from getattr(step.stage, "models", ())  # of judges there may be several


def _datasets(recipe: Recipe, steps: Sequence[Step], root: Path) -> Iterator[Found]:
    """Sources that are datasets of the workspace, neither there nor made by another step."""
    store = Store(root) if root.is_dir() else None
    for step in steps:
        source = step.stage.source.source if isinstance(step.stage, Import) else ""
        name = source.removeprefix(IN_WORKSPACE).partition("@")[0]
        made = any(other.dataset == name for other in steps if other is not step)
        if name == source or made or (store and store.versions(name)):
            continue
        yield (
            (source,),
            f"{recipe.name} takes the {step.name} from {source!r}, and workspace {str(root)!r} has no "
            f"{name}; import it with --as {name}",
        )
