"""What a run would find and what it would make: the plan, run in a workspace that makes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vlt.errors import UserError
from vlt.runs.fields import IN_WORKSPACE, Recipe
from vlt.runs.loop import newest
from vlt.runs.stages import Import
from vlt.runs.step import Key, Run, Step
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


class WouldMake(Exception):
    """Raised where a version would be written."""


class MakesNothing(Workspace):
    """A workspace in which versions are found and none is made."""

    @contextmanager
    def lock(self, name: str, kind: str) -> Iterator[None]:  # noqa: ARG002
        """Refuse the first thing that a writer asks for, before anything is read or asked."""
        raise WouldMake(name)
        yield


def preview(root: Path, recipe: Recipe, steps: Sequence[Step]) -> dict[Key, Dataset]:
    """The steps whose versions exist already (see `found`); of several trainings the last."""
    versions = zip(steps, found(root, recipe, steps), strict=True)
    return {step.key: version for step, version in versions if version}


def found(root: Path, recipe: Recipe, steps: Sequence[Step]) -> list[Dataset | None]:
    """[steps] the existing version of each step.

    No model is asked, nothing is written, and a source that is not on this machine is looked up only
    if the workspace has a version of its name.
    """
    made: dict[Key, Dataset] = {}
    versions: list[Dataset | None] = []
    if not root.is_dir():
        return [None] * len(steps)
    with MakesNothing(root) as workspace:
        run = Run(workspace, recipe, made)
        for step in steps:
            if step.earlier:
                version = newest(workspace, steps, step)
            elif all(key in made for key in step.stage.inputs):
                version = _there(run, step)
            else:
                version = None
            versions.append(version)
            if version:
                made[step.key] = version
            else:
                made.pop(
                    step.key, None
                )  # later steps do not build on an earlier training of this name
    return versions


def _there(run: Run, step: Step) -> Dataset | None:
    if isinstance(step.stage, Import) and not _at_hand(run, step, step.stage):
        return None
    try:
        return step.carry_out(run)[0]
    except (WouldMake, UserError):  # the run itself will report the error
        return None


def _at_hand(run: Run, step: Step, stage: Import) -> bool:
    source = stage.source.source
    local = source.startswith(IN_WORKSPACE) or Path(source).exists()
    return local or bool(run.workspace.versions(step.dataset))
