"""How good a model is on a dataset of items: answers sampled, graded, and summarised.

It makes two versions: the answers (sampled through the journal, so nothing is requested twice) and their
verdicts, which can be made again with another grader without asking any model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from vlt.datagen.asking import EVALUATION, Asking
from vlt.datagen.benchmarks import Benchmark, benchmark_of
from vlt.datagen.rollouts import make_rollouts
from vlt.datagen.shown import images_of
from vlt.engine.model import Model
from vlt.errors import UsageError, UserError
from vlt.evaluation.interval import Score, wilson
from vlt.evaluation.judge import FAILED, LLMJudge
from vlt.evaluation.summary import READS, in_format, summary
from vlt.filters.rules.verify import graded
from vlt.grade import extract
from vlt.grade.graders import find_grader, grader_identity
from vlt.workspace.manifest import Stage
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace
from vlt.workspace.writer import Writer

__all__ = [
    "Score",
    "evaluation_name",
    "in_format",
    "make_evaluation",
    "make_verdicts",
    "summary",
    "wilson",
]

LLM = "llm"
"""vlt's grader, with a judge for what its rules leave unjudged."""


def evaluation_name(name: str, asking: Asking) -> str:
    """The default name of an evaluation: eval, eval-swapped, ..."""
    return name if asking.images == "own" else f"{name}-{asking.images}"


def make_evaluation(
    workspace: Workspace,
    items: Dataset,
    model: Model,
    asking: Asking = EVALUATION,
    *,
    grader: str = "vlt",
    judge: LLMJudge | None = None,
    name: str = "eval",
    round: int | None = None,
) -> tuple[Dataset, bool]:
    """Verdicts on a model's answers to `items`; their `summary` is in the manifest's facts.

    Makes `<name>-answers` (samples) and `<name>` (the same samples with verdicts). Returns the
    version and whether it existed already.
    """
    check_grader(grader, judge)
    if items.manifest.rows and not any(
        batch.column("answer").null_count < len(batch) for batch in items.batches(["answer"])
    ):
        raise UserError(
            f"{items.ref} has no gold answers for grading; evaluate on items that have them, or label these: "
            "`vlt gen rollouts`, then `vlt label`"
        )
    answers, _ = make_rollouts(workspace, items, model, asking, name=f"{name}-answers", round=round)
    return make_verdicts(
        workspace,
        answers,
        grader=grader,
        judge=judge,
        benchmark=benchmark_of(items),
        name=name,
        round=round,
        retry_failed=asking.retry_failed,
    )


def make_verdicts(
    store: Store,
    answers: Dataset,
    *,
    grader: str = "vlt",
    judge: LLMJudge | None = None,
    benchmark: Benchmark | None = None,
    name: str,
    round: int | None = None,
    retry_failed: bool = False,
) -> tuple[Dataset, bool]:
    """The answers with verdicts; asks no model except a judge, for what is not in the journal.

    A row whose request to the judge failed is `unjudged`; `retry_failed` makes such a version again.
    """
    check_grader(grader, judge)
    named = grader_identity(grader, [LLM])
    parameters = {"grader": named, **({"benchmark": benchmark.name} if benchmark else {})}
    if (images := images_of(store, answers)) != "own":
        parameters["images"] = images
    stage = Stage("eval", {**parameters, **(judge.parameters() if judge else {})})
    found = store.find(name, stage, [answers])
    if found and not (retry_failed and found.manifest.facts.get("judge_failed")):
        return found, True
    verdicts: list[dict[str, Any]] = []
    with Writer(store, stage, name, "sample", [answers], round=round) as writer:
        batches = _graded(answers, grader, benchmark)
        unasked = 0
        for batch in _judged(list(batches), judge, benchmark) if judge else batches:
            writer.expect(batch)
            writer.keep(batch)
            verdicts += batch.select(READS).to_pylist()
            unasked += sum((r or "").startswith(FAILED) for r in _reasons(batch))
        # A failed answer counts as not correct, so that the held-out set stays the same.
        failed = answers.dropped.table()
        if failed.num_rows:
            writer.expect(failed)
            writer.fail(failed, failed.column("reason").to_pylist())
            verdicts += failed.select(READS).to_pylist()
        writer.facts = summary(verdicts, benchmark)
        if images != "own":
            writer.facts["images"] = images
        if judge:
            writer.facts["judge_failed"] = unasked
    return writer.dataset, False


def check_grader(grader: str, judge: LLMJudge | None) -> None:
    """Raises UsageError for an unknown grader, or one whose judge is missing."""
    find_grader(grader, [LLM])
    if (grader == LLM) != (judge is not None):
        raise UsageError("--grader llm and --judge-model need each other; give both or neither")


def _graded(answers: Dataset, grader: str, benchmark: Benchmark | None) -> Iterator[pa.RecordBatch]:
    for batch in answers.batches():
        yield with_verdicts(batch, "vlt" if grader == LLM else grader, benchmark)


def with_verdicts(
    batch: pa.RecordBatch, grader: str = "vlt", benchmark: Benchmark | None = None
) -> pa.RecordBatch:
    """The samples with verdict, verdict_reason and predicted filled in."""
    read = _as_upstream_reads(batch) if grader == "paper" and benchmark else batch
    return _replaced(batch, graded(read, grader))


def _as_upstream_reads(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Responses without </answer> with the answer of their last box, as eval_qwen.py reads them."""
    responses = [
        f"<answer>{extract(text)}</answer>"
        if text and "</answer>" not in text and "\\boxed" in text
        else text
        for text in batch.column("response").to_pylist()
    ]
    return _replaced(batch, {"response": pa.array(responses, pa.string())})


def _judged(
    batches: list[pa.RecordBatch], judge: LLMJudge, benchmark: Benchmark | None
) -> list[pa.RecordBatch]:
    """The batches with the judge's verdicts for the rows that the rules leave unjudged."""
    free = benchmark is not None and benchmark.free_form
    wanted: list[tuple[int, int, dict[str, Any]]] = []
    for number, batch in enumerate(batches):
        columns = batch.select(["question", "choices", "answer", "predicted", "verdict"])
        wanted += [
            (number, place, row)
            for place, row in enumerate(columns.to_pylist())
            if row["predicted"]
            and (row["verdict"] == "unjudged" or (free and row["verdict"] != "correct"))
        ]
    judged = judge.judge([row for _, _, row in wanted])
    changed: list[dict[int, tuple[str, str]]] = [{} for _ in batches]
    for (number, place, _), verdict in zip(wanted, judged, strict=True):
        changed[number][place] = verdict
    return [_with_changed(batch, some) for batch, some in zip(batches, changed, strict=True)]


def _with_changed(batch: pa.RecordBatch, changed: dict[int, tuple[str, str]]) -> pa.RecordBatch:
    verdicts, reasons = batch.column("verdict").to_pylist(), _reasons(batch)
    for place, (verdict, reason) in changed.items():
        verdicts[place], reasons[place] = verdict, reason
    columns = {"verdict": verdicts, "verdict_reason": reasons}
    return _replaced(batch, {name: pa.array(v, pa.string()) for name, v in columns.items()})


def _reasons(batch: pa.RecordBatch) -> list[str | None]:
    reasons: list[str | None] = batch.column("verdict_reason").to_pylist()
    return reasons


def _replaced(batch: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    for name, values in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)
    return batch
