"""Counts that show how far rows can be trusted: for `vlt stats`, dataset cards, the report and the view.

Agreement of an item's samples; sufficiency of captions (the pass rate of samples that read only the
caption); where answers come from; the judges' verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.pass_rate import READS, by_caption, of_batches, with_dropped
from vlt.filters.rules.agreement import VIEW, Agreement, shares_of
from vlt.workspace.judgements import COLUMN, FAIL, PASS, combined, judgements_in, rubrics_of
from vlt.workspace.store import Dataset

GOLD = "gold"
"""The source of a gold answer."""


def signs(dataset: Dataset) -> dict[str, Any]:
    """Those of the signs that the dataset has: answers, agreement, sufficiency, judgements.

    Agreement and sufficiency count dropped rows too, as pass rates do.
    """
    found: dict[str, Any] = {}
    answers = answer_sources(dataset)
    if set(answers) - {GOLD}:
        found["answers"] = dict(answers.most_common())
    if dataset.kind == "sample":
        found["agreement"] = agreements(dataset)
        found["sufficiency"] = sufficiency(dataset)
    found["judgements"] = judgements(dataset)
    return {name: sign for name, sign in found.items() if sign}


def answer_sources(dataset: Dataset) -> Counter[str]:
    """Rows by where their answers come from: gold, majority, none (see vlt.workspace.schema)."""
    counts: Counter[str] = Counter()
    for batch in dataset.batches(["answer_source"]):
        for pair in pc.value_counts(batch.column("answer_source")).to_pylist():
            counts[pair["values"] or GOLD] += pair["counts"]
    return counts


def agreements(samples: Dataset) -> dict[str, Any] | None:
    """Number of items, their mean agreement, and the share of them whose samples all give the same answer.

    None if no item has several samples.
    """
    names = [*VIEW.names, "sample"]
    several, views = False, []
    for batch in with_dropped(samples, names):
        several = several or (pc.max(batch.column("sample")).as_py() or 0) > 0
        views.append(Agreement().view(batch))
    if not several:
        return None
    view = pa.Table.from_batches(views, VIEW)
    shares = dict(zip(view["id"].to_pylist(), shares_of(view), strict=True))
    known = [share for share in shares.values() if share is not None]
    if not known:
        return None
    return {
        "items": len(known),
        "mean": round(sum(known) / len(known), 4),
        "all_the_same": round(sum(share > 1 - 1e-9 for share in known) / len(known), 4),
    }


def sufficiency(samples: Dataset) -> dict[str, Any] | None:
    """Number of captions, their mean pass rate, and the shares of them that never and always suffice.

    None if no graded sample read a caption.
    """

    def read() -> Iterable[pa.RecordBatch]:
        for batch in with_dropped(samples, [*READS, "caption"]):
            rows = batch.filter(pc.is_valid(batch.column("caption")))
            yield by_caption(rows.filter(pc.is_valid(rows.column("verdict"))))

    rates = of_batches(read())["pass_rate"].to_pylist()
    if not rates:
        return None
    return {
        "captions": len(rates),
        "mean": round(sum(rates) / len(rates), 4),
        "never": round(rates.count(0.0) / len(rates), 4),
        "always": round(rates.count(1.0) / len(rates), 4),
    }


def judgements(dataset: Dataset) -> dict[str, dict[str, Any]] | None:
    """rubric -> number of rows judged by it, their share of all rows, and the share of them that pass."""
    if COLUMN not in dataset.schema.names or not dataset.manifest.rows:
        return None
    verdicts: dict[str, Counter[str]] = {}
    for batch in dataset.batches([COLUMN]):
        of_rows = judgements_in(batch)
        for rubric in rubrics_of(of_rows):
            said = (combined(of_row, rubric) for of_row in of_rows)
            counts = verdicts.setdefault(rubric, Counter())
            counts.update(judged.verdict for judged in said if judged)
    found = {}
    for rubric, counts in verdicts.items():
        judged = counts[PASS] + counts[FAIL]
        found[rubric] = {
            "judged": judged,
            "share_judged": round(judged / dataset.manifest.rows, 4),
            "pass": round(counts[PASS] / judged, 4) if judged else None,
        }
    return found
