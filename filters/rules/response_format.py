"""Does the response have the format that the loop trains on, and is it consistent?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError
from vlt.filters.protocol import Judgement, everything
from vlt.grade import extract, grade_many
from vlt.grade.shuffled import predicted_back
from vlt.response_format import format_fault
from vlt.workspace.reason import Reason
from vlt.workspace.row_group import Mask

ANSWERS = ("tag", "boxed")


@dataclass(frozen=True)
class Format:
    """Keeps `<think> ... </think> <answer> ... </answer>`: each tag once, in this order, neither empty."""

    name: ClassVar[str] = "format"
    columns: ClassVar[tuple[str, ...]] = ("response",)

    answer: str = "tag"
    """tag, or boxed: \\boxed{...} somewhere after the reasoning."""

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise UsageError(f"format: {self.answer!r} is not known; write {' or '.join(ANSWERS)}")

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason names the first tag that is missing or repeated."""
        boxed = self.answer == "boxed"
        faults = [
            format_fault(response or "", boxed=boxed)
            for response in rows.column("response").to_pylist()
        ]
        keep: Mask = np.array([fault is None for fault in faults], bool)
        return Judgement(keep, [Reason(fault) for fault in faults if fault is not None])


@dataclass(frozen=True)
class Disagreement:
    """Drops responses whose reasoning concludes with a different answer from the one they give."""

    name: ClassVar[str] = "disagreement"
    columns: ClassVar[tuple[str, ...]] = (
        "reasoning",
        "response",
        "predicted",
        "question",
        "choices",
        "answer_type",
    )

    end: int = 400
    """Characters at the end of the reasoning in which its answer is searched for."""

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Only if the reasoning says "the answer is" or boxes one."""
        thoughts = rows.column("reasoning").to_pylist()
        said = [_conclusion(thought or "", self.end) for thought in thoughts]
        if "choice_order" in rows.schema.names:  # `predicted` has the letters of the original order
            shown = rows.select(["choices", "choice_order"]).to_pylist()
            said = [predicted_back(one, row) for one, row in zip(said, shown, strict=True)]
        given = [
            predicted if predicted is not None else extract(response or "")
            for predicted, response in zip(
                rows.column("predicted").to_pylist(),
                rows.column("response").to_pylist(),
                strict=True,
            )
        ]
        both = [i for i, pair in enumerate(zip(said, given, strict=True)) if all(pair)]
        columns = [
            rows.column(c).take(pa.array(both, pa.int64())).to_pylist() for c in self.columns[3:]
        ]
        grades = grade_many(
            [f"<answer>{said[i]}</answer>" for i in both],
            [given[i] or "" for i in both],
            questions=columns[0],
            choices=columns[1],
            answer_types=columns[2],
        )
        keep: Mask = everything(rows)
        reasons = []
        for i, grade in zip(both, grades, strict=True):
            if grade.verdict == "wrong":
                keep[i] = False
                reasons.append(Reason("reasoning and answer differ", f"{said[i]} and {given[i]}"))
        return Judgement(keep, reasons)


def _conclusion(thought: str, end: int) -> str | None:
    """The answer to which the end of the reasoning commits itself explicitly, if any."""
    last = thought[-end:]
    if "answer" not in last.lower() and "\\boxed" not in last:
        return None
    return extract(last)
