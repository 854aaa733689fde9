"""A step of the plan as data, and what the steps share while they run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.runs.fields import Recipe
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

Made = tuple[Dataset, bool]
"""A version, and whether it existed already."""
Key = tuple[int, str]
"""A step: its round and name. Round 0 is what comes before the rounds."""


class StepStage(Protocol):
    """What a step does: a frozen dataclass of its inputs and settings. See vlt.runs.stages."""

    @property
    def inputs(self) -> tuple[Key, ...]:
        """The steps whose versions it is made from, in order."""
        ...

    @property
    def what(self) -> str:
        """Models, sources and sampling in one line."""
        ...

    @property
    def settings(self) -> str:
        """The full settings, for the plan; "" if `what` is complete."""
        ...

    @property
    def says(self) -> str | None:
        """All that determines the version, if the recipe alone does; None if inputs do, too."""
        ...

    def carry_out(self, run: Run, step: Step) -> Made:
        """Make the version, or find it."""
        ...


class OneLine:
    """What most stages share: one line describes them, and their inputs determine the version, too."""

    @property
    def settings(self) -> str:
        """Empty: `what` is complete."""
        return ""

    @property
    def says(self) -> str | None:
        """None: inputs determine the version, too."""
        return None


@dataclass(frozen=True)
class Step:
    """One step of the plan."""

    round: int
    name: str
    stage: StepStage
    earlier: bool = False
    """It comes before the step that --from names: its version is used as it is."""
    variant: str = ""
    """An arm or a seed whose result is not shared: the suffix of its dataset's name."""

    @property
    def dataset(self) -> str:
        """The name of what it makes: sft, or sft.grpo-only in an arm."""
        return f"{self.name}.{self.variant}" if self.variant else self.name

    @property
    def key(self) -> Key:
        """The key of its result in Run.made."""
        return self.round, self.name

    @property
    def what(self) -> str:
        """Models and sources in one line."""
        return self.stage.what

    @property
    def settings(self) -> str:
        """The full settings, for the plan."""
        return self.stage.settings

    @property
    def says(self) -> str | None:
        """All that determines the version, if the recipe alone does: a step of another round with the
        same value shares its version."""
        return self.stage.says

    def carry_out(self, run: Run) -> Made:
        """Make the version, or find it."""
        return self.stage.carry_out(run, self)

    @property
    def of_round(self) -> int | None:
        """The round that its version belongs to."""
        return self.round or None


@dataclass
class Run:
    """What the steps share: the workspace, the recipe, and the versions made so far."""

    workspace: Workspace
    recipe: Recipe
    made: dict[Key, Dataset] = field(default_factory=dict)
    stopped: str | None = None
    """Why the run ended before its last round, in one sentence."""

    def __getitem__(self, key: Key) -> Dataset:
        if key not in self.made:
            number, name = key
            where = f"round {number} has" if number else "there is"
            raise UserError(
                f"{where} no {name} in workspace {str(self.workspace.root)!r} yet; start at an earlier "
                "step, or leave out --from"
            )
        return self.made[key]

    def model(self, of: Model | Key) -> Model:
        """A model of the recipe, or the one that a step made."""
        return of if isinstance(of, Model) else self.student(self[of])

    def student(self, folder: Dataset | Path) -> Model:
        """A checkpoint or its folder as a model, asked the same way as the base."""
        path = folder.path if isinstance(folder, Dataset) else folder
        return replace(self.recipe.models.base, model=str(path), revision=None)
