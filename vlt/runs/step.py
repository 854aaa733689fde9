"""A step of the plan, and what the steps share while they are carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.runs.fields import Recipe
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

Made = tuple[Dataset, bool]
"""A version, and whether it was there already."""


@dataclass(frozen=True)
class Step:
    """One step of the plan. Round 0 is what comes before the rounds: held-out items, the base."""

    round: int
    name: str
    what: str
    """One line for people: models and sources."""
    carry_out: Callable[[Run], Made]
    settings: str = ""
    """For the plan: the settings in full."""
    says: str | None = None
    """All that decides it where the recipe alone does: another round's step that says the same
    makes the same version, which stands for both."""
    earlier: bool = False
    """It comes before the step that the run was told to start at: its version is taken as it is."""

    @property
    def key(self) -> tuple[int, str]:
        """Where Run.made keeps the result."""
        return self.round, self.name


@dataclass
class Run:
    """What the steps share: the workspace, the recipe, and the versions made so far."""

    workspace: Workspace
    recipe: Recipe
    made: dict[tuple[int, str], Dataset] = field(default_factory=dict)
    stopped: str | None = None
    """Why the run ended before its last round, in one sentence."""

    def __getitem__(self, key: tuple[int, str]) -> Dataset:
        if key not in self.made:
            number, name = key
            where = f"round {number} has" if number else "there is"
            raise UserError(
                f"{where} no {name} in workspace {str(self.workspace.root)!r} yet; start at an earlier "
                "step, or leave out --from"
            )
        return self.made[key]

    def student(self, folder: Dataset | Path) -> Model:
        """A checkpoint, or a folder of one, as a model: it is asked in the way that the base is."""
        path = folder.path if isinstance(folder, Dataset) else folder
        return replace(self.recipe.models.base, model=str(path), revision=None)
