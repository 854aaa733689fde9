"""The table of a run's rounds, from the manifests of what the run made."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from vlt.runs.step import Run
from vlt.workspace.store import Dataset


def rounds(run: Run) -> list[dict[str, Any]]:
    """One row per round: counts, accuracy of SFT and GRPO (value, low, high, n), and seconds.

    Steps that the run did not reach are None.
    """
    numbers = sorted({number for number, _ in run.made if number > 0})
    return [_round(run, number) for number in numbers]


def _round(run: Run, number: int) -> dict[str, Any]:
    def made(name: str) -> Dataset | None:
        return run.made.get((number, name))

    def rows(name: str) -> int | None:
        version = made(name)
        return version.manifest.rows if version else None

    sft = made("sft")
    return {
        "round": number,
        "items": rows("items"),
        "captions": rows("captions"),
        "samples": rows("samples"),
        "verified": _correct(sft) if sft else None,
        "kept": rows("sft"),
        "sft": _accuracy(made("eval-sft")),
        "grpo": _accuracy(made("eval-grpo")),
        "seconds": round(_seconds(run, number), 1),
        "datasets": {name: v.ref for (n, name), v in run.made.items() if n == number},
    }


def base_accuracy(run: Run) -> dict[str, Any]:
    """The base model's accuracy with the students' prompt, and asked directly; None if not measured."""
    return {
        "base": _accuracy(run.made.get((0, "eval-base"))),
        "direct": _accuracy(run.made.get((0, "eval-direct"))),
    }


def _accuracy(evaluation: Dataset | None) -> dict[str, Any] | None:
    return evaluation.manifest.facts["accuracy"] if evaluation else None


def _correct(sft: Dataset) -> int:
    """Samples that verification found correct, kept or dropped afterwards."""
    kept = sft.table(["verdict"]).column("verdict")
    dropped = sft.dropped.table(["verdict"]).column("verdict")
    return sum(pc.sum(pc.equal(column, "correct")).as_py() or 0 for column in (kept, dropped))


def _seconds(run: Run, number: int) -> float:
    """Wall time of making the round's steps, not of finding them again."""
    refs = {v.ref: v for (n, _), v in run.made.items() if n == number}
    answers = [
        run.workspace.open(parent.ref)
        for version in refs.values()
        if version.manifest.stage == "eval"
        for parent in version.manifest.parents
    ]
    return sum(v.manifest.seconds for v in [*refs.values(), *answers])
