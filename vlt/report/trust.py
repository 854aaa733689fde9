"""The report's section on trust: how far models depend on the image, and signs that need no judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vlt.errors import UserError
from vlt.evaluation.image_worth import ImageWorth, image_worth
from vlt.filters.signs import signs
from vlt.report.charts import Axis, Figure, Line, Point, lines
from vlt.report.found import Evaluation, Found, Round
from vlt.workspace.store import Dataset

INSTEAD = {
    "swapped": "with another item's image",
    "none": "without an image",
    "noise": "with noise for an image",
}
"""What is shown instead -> the name of its line."""


@dataclass(frozen=True)
class Depends:
    """One model, with the items' own images and with something else instead."""

    of: Evaluation
    """With the own images."""
    version: Dataset
    """The evaluation with something else instead."""
    worth: ImageWorth


def dependence(found: Found) -> list[Depends]:
    """Every evaluation without the own images that can be compared with the model's ordinary one."""
    rows = []
    for version in found.versions:
        if version.manifest.stage != "eval" or "images" not in version.manifest.parameters:
            continue
        for evaluation in found.evaluations:
            try:
                worth = image_worth(found.store, evaluation.dataset, version)
            except UserError:  # another model's, or asked differently
                continue
            if worth.n:
                rows.append(Depends(evaluation, version, worth))
                break
    return sorted(rows, key=lambda row: (row.of.place, row.worth.images))


def dependence_figure(rows: Sequence[Depends]) -> Figure | None:
    """Accuracy with the own image and without, by model."""
    if not rows:
        return None
    models = list(dict.fromkeys(row.of.model for row in rows))
    series = []
    shown = [("with their own image", [(row, row.worth.own) for row in rows])]
    for images, name in INSTEAD.items():
        shown.append((name, [(r, r.worth.other) for r in rows if r.worth.images == images]))
    for name, points in shown:
        by_model = {models.index(row.of.model): (row, value) for row, value in points}
        if by_model:
            series.append(
                Line(
                    name,
                    [
                        Point(
                            place,
                            100 * value,
                            note=f"{row.of.model}, {name}: {100 * value:.1f} % of {row.worth.n:,} items",
                        )
                        for place, (row, value) in sorted(by_model.items())
                    ],
                )
            )
    x = Axis("model", -0.4, len(models) - 0.6, list(enumerate(models)))
    return lines(
        "Dependence on the image", series, x, Axis("accuracy (%)", 0), width=620, height=330
    )


def signs_of(found: Found) -> list[dict[str, Any]]:
    """For each round, its samples and its training rows, with those of the signs that they have."""
    rows = []
    for each in found.rounds:
        for what, version in _shown(each):
            if has := signs(version):
                rows.append({"label": f"{each.label}, {what}", "ref": version.ref, **has})
    return rows


def _shown(each: Round) -> list[tuple[str, Dataset]]:
    samples = [v for v in each.chain if v.kind == "sample"]
    found = [("samples", samples[0])] if samples else []
    if len(samples) > 1:
        found.append(("training rows", samples[-1]))
    items = [v for v in each.chain if v.kind == "item"]
    return [*([("items", items[-1])] if items and not samples else []), *found]
