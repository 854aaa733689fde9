"""Only captions from which the question can be answered: the reader of a caption sees no image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from annotated_types import Ge, Le

from vlt.fields import Option, check
from vlt.filters.pass_rate import CLOSE, fair_rates, with_caption
from vlt.filters.protocol import NEVER, Judgement, Once, with_found
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace


@dataclass(frozen=True)
class Sufficient:
    """Keeps captions by their sufficiency: the pass rate of samples whose model read only the caption.

    The samples of round 1 are such. A caption without a graded sample is dropped.
    """

    name: ClassVar[str] = "sufficient"
    columns: ClassVar[tuple[str, ...]] = ("id", "caption")
    of_items: ClassVar[bool] = True

    samples: Annotated[str, Option("--sufficient", metavar="SAMPLES")]
    """Keep captions from which these samples (of `vlt gen reasoning`, graded) find the answer."""
    min: Annotated[float, Ge(0), Le(1), Option("--sufficiency", metavar="RATE")] = 0.25
    """With --sufficient: a caption's minimum pass rate. [0.25]"""
    references: Sequence[Dataset] = field(default=(), init=False, repr=False, compare=False)
    """The samples, found by `prepared`."""
    rates: Once[dict[str, float]] = field(default=NEVER, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(self)

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> Sufficient:  # noqa: ARG002
        """Raises UsageError for samples without verdicts, or sampled until one was correct."""
        read = workspace.open(self.samples)
        return with_found(
            self,
            references=[read],
            rates=Once(lambda: fair_rates(workspace, read, "sufficient", captions=True)),
        )

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason gives the pass rate."""
        rates = self.rates()
        found = [rates.get(key) for key in with_caption(rows).to_pylist()]
        keep = np.array([rate is not None and rate >= self.min - CLOSE for rate in found], bool)
        said = [rate for rate, kept in zip(found, keep, strict=True) if not kept]
        return Judgement(
            keep,
            [
                Reason("no graded sample of it")
                if rate is None
                else Reason("the caption is not enough", f"{rate:.2f} of {self.min:g}")
                for rate in said
            ],
        )
