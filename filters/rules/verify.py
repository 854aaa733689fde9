"""Is the answer right? (paper, section 4.1.)

`grade` records the verdict, `correct` drops what is not correct, `verify` does both. They are three filters
because a pass rate (see difficulty.py) must be counted while the wrong samples are still there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlt.choice_order import shown
from vlt.fields import Option
from vlt.filters.protocol import Judgement, everything
from vlt.grade import grade_many
from vlt.grade.graders import Grader, columns_of, find_grader, grader_identity, own_grades
from vlt.grade.shuffled import predicted_back
from vlt.workspace.reason import Reason

READS = ("response", "answer", "question", "choices", "answer_type")


def graded(rows: pa.RecordBatch, grader: Grader) -> dict[str, pa.Array]:
    """The columns verdict, verdict_reason and predicted of these samples.

    A response is graded against the choices as they were shown; `predicted` has the letters of the item.
    """
    responses, answers, questions, choices, types = (rows.column(c).to_pylist() for c in READS)
    orders = rows.column("choice_order") if "choice_order" in rows.schema.names else None
    shuffled = (
        rows.select(["choices", "answer", "choice_order"]).to_pylist()
        if (orders is not None and orders.null_count < len(orders))
        else []
    )
    if shuffled:
        as_shown = [shown(row) for row in shuffled]
        choices = [row["choices"] for row in as_shown]
        answers = [row["answer"] for row in as_shown]
    responses = [response or "" for response in responses]
    answers = [answer or "" for answer in answers]
    plugin = find_grader(grader)
    if plugin.identity:
        names = columns_of(plugin, rows.schema.names)
        columns = {name: rows.column(name).to_pylist() for name in names}
        columns |= {"choices": choices} if "choices" in columns else {}
        grades = own_grades(plugin, responses, answers, columns)
    else:
        grades = grade_many(
            responses,
            answers,
            questions=questions,
            choices=choices,
            answer_types=types,
            grader=grader,
        )
    predicted = [grade.predicted for grade in grades]
    if shuffled:
        predicted = [
            predicted_back(said, row) for said, row in zip(predicted, shuffled, strict=True)
        ]
    return {
        "verdict": pa.array([grade.verdict for grade in grades], pa.string()),
        "verdict_reason": pa.array([grade.reason for grade in grades], pa.string()),
        "predicted": pa.array(predicted, pa.string()),
    }


def incorrect(verdicts: pa.Array, reasons: pa.Array) -> tuple[np.ndarray, list[Reason]]:
    """(which samples are correct [n], why each of the others is not)."""
    right = pc.fill_null(pc.equal(verdicts, "correct"), False).to_numpy(zero_copy_only=False)
    wrong = pa.array(~right)
    pairs = zip(verdicts.filter(wrong).to_pylist(), reasons.filter(wrong).to_pylist(), strict=True)
    return right, [Reason(verdict or "no verdict", reason or "") for verdict, reason in pairs]


@dataclass(frozen=True)
class Grade:
    """Records the verdict and keeps every row."""

    name: ClassVar[str] = "grade"
    columns: ClassVar[tuple[str, ...]] = READS

    grader: Annotated[Grader, Option("--grader", metavar="G")] = "vlt"
    """vlt [this], paper (upstream's rule), math-verify, or your own: file.py:name."""

    def __post_init__(self) -> None:
        find_grader(self.grader)

    def identity(self) -> dict[str, Any]:
        """A user's grader is identified by its source."""
        return {"grader": grader_identity(self.grader)}

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Fills verdict, verdict_reason and predicted."""
        return Judgement(everything(rows), columns=graded(rows, self.grader))


@dataclass(frozen=True)
class Correct:
    """Drops samples whose verdict is not `correct`; does not grade."""

    name: ClassVar[str] = "correct"
    columns: ClassVar[tuple[str, ...]] = ("verdict", "verdict_reason")

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """By the column `verdict`."""
        return Judgement(*incorrect(rows.column("verdict"), rows.column("verdict_reason")))


@dataclass(frozen=True)
class Verify:
    """Grades, and drops samples that are not correct."""

    name: ClassVar[str] = "verify"
    columns: ClassVar[tuple[str, ...]] = READS

    grader: Annotated[Grader, Option("--grader", metavar="G")] = "vlt"
    """vlt [this], paper (upstream's rule), math-verify, or your own: file.py:name."""

    def __post_init__(self) -> None:
        find_grader(self.grader)

    def identity(self) -> dict[str, Any]:
        """A user's grader is identified by its source."""
        return {"grader": grader_identity(self.grader)}

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Dropped rows keep their verdict, so that pass rates can be counted from them later."""
        columns = graded(rows, self.grader)
        right, reasons = incorrect(columns["verdict"], columns["verdict_reason"])
        return Judgement(right, reasons, columns)
