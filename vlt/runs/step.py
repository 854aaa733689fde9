"""A step of the plan, and what the steps share while they are carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vlt.engine import Engine
from vlt.engine.opening import open_engine
from vlt.errors import UserError
from vlt.images.pixels import Pixels
from vlt.images.store import ImageStore
from vlt.runs.fields import ModelUse, Recipe
from vlt.workspace.journal import Journal
from vlt.workspace.store import Dataset, Store

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

    store: Store
    recipe: Recipe
    images: ImageStore
    journal: Journal
    progress: Any = None
    """Passed on to the stages; None shows nothing."""
    made: dict[tuple[int, str], Dataset] = field(default_factory=dict)
    stopped: str | None = None
    """Why the run ended before its last round, in one sentence."""

    def __getitem__(self, key: tuple[int, str]) -> Dataset:
        if key not in self.made:
            number, name = key
            where = f"round {number} has" if number else "there is"
            raise UserError(
                f"{where} no {name} in workspace {str(self.store.root)!r} yet; start at an earlier "
                "step, or leave out --from"
            )
        return self.made[key]

    def asking(self, use: ModelUse) -> dict[str, Any]:
        """The arguments with which a generation stage asks this model."""
        return {
            "model": use.model,
            "revision": use.revision,
            "engine": self._engine(use),
            "journal": self.journal,
            "progress": self.progress,
            **({"pixels": Pixels.parse(use.pixels)} if use.pixels else {}),
        }

    def student(self, folder: Any) -> ModelUse:
        """A checkpoint, or a folder of one, as a model: it is asked in the way that the base is."""
        path = folder.path if isinstance(folder, Dataset) else folder
        return self.recipe.models.base.model_copy(update={"model": str(path), "revision": None})

    def _engine(self, use: ModelUse) -> Callable[[], Engine]:
        return lambda: open_engine(
            use.model,
            engine=use.engine,
            base_urls=use.base_url,
            revision=use.revision,
            concurrency=use.concurrency,
            load_image=self.images.read,
        )
