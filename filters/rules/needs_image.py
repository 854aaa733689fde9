"""Only items that need their image: those that a model solves without it teach it not to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Le

from vlt.errors import UsageError
from vlt.fields import Option, check
from vlt.filters.pass_rate import CLOSE, fair_rates
from vlt.filters.protocol import NEVER, Judgement, Once, with_found
from vlt.workspace.lineage import ancestors
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class NeedsImage:
    """Drops items that are solved blind, by their pass rate in samples drawn without the image.

    An item without such samples, or without an image, is kept.
    """

    name: ClassVar[str] = "needs_image"
    columns: ClassVar[tuple[str, ...]] = ("id", "images")
    of_items: ClassVar[bool] = True

    samples: Annotated[str, Option("--needs-image", metavar="SAMPLES")]
    """Drop items that are solved by these samples, drawn with --images none and graded."""
    max: Annotated[float, Ge(0), Le(1), Option("--max-blind", metavar="RATE")] = 0.75
    """With --needs-image: an item's maximum pass rate without the image. [0.75]"""
    references: Sequence[Dataset] = field(default=(), init=False, repr=False, compare=False)
    """The samples, found by `prepared`."""
    rates: Once[dict[str, float]] = field(default=NEVER, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(self)

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> NeedsImage:  # noqa: ARG002
        """Raises UsageError for samples whose model saw the image."""
        blind = workspace.open(self.samples)
        if not drawn_without(workspace, blind):
            raise UsageError(
                f"needs_image: {blind.ref} was sampled with the images; sample without them: "
                "`vlt gen rollouts ITEMS --images none -k 8 --as blind`, then `vlt filter blind --grade "
                "--as blind`"
            )
        return with_found(
            self,
            references=[blind],
            rates=Once(lambda: fair_rates(workspace, blind, "needs_image")),
        )

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason gives the pass rate without the image."""
        rates = self.rates()
        ids, images = rows.column("id").to_pylist(), rows.column("images").to_pylist()
        blind = [rates.get(id) if shown else None for id, shown in zip(ids, images, strict=True)]
        keep = np.array([rate is None or rate <= self.max + CLOSE for rate in blind], bool)
        said = [rate for rate, kept in zip(blind, keep, strict=True) if not kept]
        return Judgement(
            keep,
            [Reason("solved without its image", f"{rate:.2f} of {self.max:g}") for rate in said],
        )


def drawn_without(store: Store, samples: Dataset) -> bool:
    """Whether the samples' model was shown something other than the items' own images."""
    for each in ancestors(store, samples, through=lambda v: v.kind == "sample", gone=True):
        manifest = each.dataset.manifest
        if manifest.stage.startswith("gen "):
            return manifest.parameters.get("images", "own") != "own"
    return False
