"""Signs of how far rows can be trusted, counted: for `vlt stats`, cards, the report and the view.

agreement of an item's samples; sufficiency of captions (the pass rate of samples that read nothing
else); where answers come from; what judges said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt.filters.pass_rate import READS, of_batches, with_caption, with_dropped
from vlt.filters.rules.agreement import VIEW, Agreement, shares_of
from vlt.workspace.store import Dataset

GOLD = "gold"
"""The source of an answer that is a gold's."""


def signs(dataset: Dataset) -> dict[str, Any]:
    """What of the signs the dataset has: answers, agreement, sufficiency, judgements.

    Agreement and sufficiency count what filters took out, too, as pass rates do.
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
    """items, their mean agreement, and the share of them whose samples all say the same.

    None where no item has several samples.
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
    """captions, their mean pass rate, and the shares of them that never and always are enough.

    None where no graded sample read a caption.
    """

    def read() -> Iterable[pa.RecordBatch]:
        for batch in with_dropped(samples, [*READS, "caption"]):
            rows = batch.filter(pc.is_valid(batch.column("caption")))
            graded = rows.filter(pc.is_valid(rows.column("verdict")))
            at = graded.schema.get_field_index("id")
            yield graded.set_column(at, "id", with_caption(graded))

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
    """rubric -> rows with a judgement by it, the share of all rows, and the share of them that pass.

    A row passes by a rubric where most of its judgements do; unjudged ones count for none.
    """
    if "judgements" not in dataset.schema.names or not dataset.manifest.rows:
        return None
    judged: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for batch in dataset.batches(["judgements"]):
        for of_row in batch.column("judgements").to_pylist():
            votes: dict[str, list[bool]] = {}
            for each in of_row or ():
                if each["verdict"] in ("pass", "fail"):
                    votes.setdefault(each["rubric"], []).append(each["verdict"] == "pass")
            for rubric, ballots in votes.items():
                judged[rubric] += 1
                passed[rubric] += 2 * sum(ballots) > len(ballots)
    return {
        rubric: {
            "judged": count,
            "share_judged": round(count / dataset.manifest.rows, 4),
            "pass": round(passed[rubric] / count, 4),
        }
        for rubric, count in judged.most_common()
    }
