"""Whether everything a run needs besides its recipe is there: checked before anything is spent."""

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
    """What the steps still to be made would fail on: servers that do not answer or do not serve the
    model, a vLLM that is not installed (both checked only with `servers`), datasets that the workspace
    does not have.

    Steps that exist need no server: a finished run is found complete after its servers are gone.
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
    """The models of these names that would get no answers: see vlt.engine.reachable."""
    models = [model for name in names if (model := recipe.models.named(name))]
    with on_cluster(recipe.cluster):
        found = trouble(models)
    for name, says in zip(names, found, strict=True):
        if says:
            yield ("models", name), f"models.{name}: {says}"


def _asked(recipe: Recipe, steps: Sequence[Step]) -> list[str]:
    """The names of the models that these steps ask; a model that is only trained needs no server.

    Students are served like the base: by a vLLM of this machine, if not by a server that has them.
    """
    models = list(models_of(steps, trained=False))
    base = recipe.models.base
    if base.engine == "vllm" and not all(isinstance(of, Model) for of in models):
        models.append(base)
    return [name for name in recipe.models.names if recipe.models.named(name) in models]


def models_of(steps: Sequence[Step], *, trained: bool = True) -> Iterator[Model | Key]:
    """The models that steps ask, and with `trained` those they train; steps stand for their students."""
    for step in steps:
        for name in ("model", "start") if trained else ("model",):
            if (of := getattr(step.stage, name, None)) is not None:
                yield of
        yield from getattr(step.stage, "models", ())  # there may be several judges


def _datasets(recipe: Recipe, steps: Sequence[Step], root: Path) -> Iterator[Found]:
    """Sources that are datasets of the workspace, but neither exist nor are made by another step."""
    store = Store(root) if root.is_dir() else None
    for step in steps:
        source = step.stage.source.source if isinstance(step.stage, Import) else ""
        name = source.removeprefix(IN_WORKSPACE).partition("@")[0]
        made = any(other.dataset == name for other in steps if other is not step)
        if name == source or made or (store and store.versions(name)):
            continue
        yield (
            (source,),
            f"{recipe.name} takes {step.name} from {source!r}, but workspace {str(root)!r} has no "
            f"{name}; import it with --as {name}",
        )
