"""The report's numbers: accuracy, the funnel, pass@k, cost and time, what changed between models."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlt.errors import UserError
from vlt.evaluation.compare import compare
from vlt.filters.stats import pass_at_by_source
from vlt.report.charts.figure import drawable
from vlt.report.found import GRPO, Evaluation, Found, Round
from vlt.workspace.store import Dataset

GENERATES = ("gen captions", "gen reasoning", "gen rollouts")
IN_ORDER = (
    "import",
    "decontaminate",
    *GENERATES,
    "filter",
    "dedup",
    "train sft",
    "train grpo",
    "eval",
)
"""Stages in the order of a round."""


def funnel(found: Round) -> list[dict[str, Any]]:
    """From items to training rows: what each step kept (`rows`, of a kind) and dropped (`out`).

    Read from the ledgers in the manifests; `reasons` says why rows were dropped, and the step `failed`
    counts rows that could not be made.
    """
    steps: list[dict[str, Any]] = []
    for version in found.chain:
        manifest = version.manifest
        base = {"ref": version.ref, "kind": manifest.kind}
        if manifest.stage in ("filter", "dedup", "decontaminate") and manifest.dropped:
            left = manifest.rows_in
            for name, reasons in _in_chain_order(manifest.parameters, manifest.dropped):
                taken = sum(reasons.values())
                left -= taken
                steps.append({**base, "step": name, "rows": left, "out": taken, "reasons": reasons})
            if manifest.failed:
                taken = sum(manifest.failed.values())
                left -= taken
                step = {"step": "failed", "rows": left, "out": taken, "reasons": manifest.failed}
                steps.append({**base, **step})
            continue
        out = {**manifest.failed}
        for reasons in manifest.dropped.values():
            out.update(reasons)
        taken = sum(out.values())
        name = (
            f"{manifest.name} ({manifest.kind}s)" if manifest.name not in _PLAIN else manifest.name
        )
        steps.append({**base, "step": name, "rows": manifest.rows, "out": taken, "reasons": out})
    return steps


_PLAIN = ("items", "captions", "samples")


def _in_chain_order(
    parameters: dict[str, Any], dropped: dict[str, dict[str, int]]
) -> Iterable[tuple[str, dict[str, int]]]:
    """All filters of the chain, including those that dropped nothing; then any others in the ledger."""
    chain = [
        step.get("filter", "") for step in parameters.get("chain", []) if isinstance(step, dict)
    ]
    for name in dict.fromkeys([*(n for n in chain if n), *dropped]):
        yield name, dropped.get(name, {})


def verified(samples: Dataset) -> int:
    """Samples found correct, kept or dropped afterwards."""
    count = 0
    for file in [*samples.files, *samples.dropped.files]:
        with pq.ParquetFile(file, pre_buffer=False) as opened:
            for batch in opened.iter_batches(columns=["verdict"]):
                count += pc.sum(pc.equal(batch.column("verdict"), "correct")).as_py() or 0
    return count


def pass_at(found: Round) -> dict[str, dict[str, float]]:
    """source -> {"pass@1": ...} over the round's graded samples; empty if none were graded."""
    last = found.chain[-1] if found.chain else None
    if last is None or last.kind != "sample":
        return {}
    graded = next((v for v in found.chain if v.kind == "sample" and _graded(v)), None)
    return pass_at_by_source(graded) if graded else {}


def _graded(samples: Dataset) -> bool:
    chain = samples.manifest.parameters.get("chain", [])
    names = {step.get("filter") for step in chain if isinstance(step, dict)}
    return bool(names & {"verify", "grade"}) or samples.manifest.stage == "eval"


def costs(found: Found) -> list[dict[str, Any]]:
    """One row for each version of the run: tokens, money, seconds."""
    return [
        {
            "round": manifest.round or 0,
            "ref": manifest.ref,
            "stage": manifest.stage,
            "rows": None if manifest.kind == "checkpoint" else manifest.rows,
            "prompt": manifest.prompt_tokens,
            "completion": manifest.completion_tokens,
            "money": manifest.money,
            "seconds": manifest.seconds,
        }
        for manifest in (version.manifest for version in found.versions)
    ]


def by_stage(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`costs` summed by stage: stage, and `rounds`: number -> tokens, money (None: no price), seconds."""
    stages: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        found = stages.setdefault(row["stage"], {}).setdefault(
            row["round"], {"tokens": 0, "money": None, "seconds": 0.0}
        )
        found["tokens"] += row["prompt"] + row["completion"]
        found["seconds"] += row["seconds"]
        if row["money"] is not None:
            found["money"] = (found["money"] or 0.0) + row["money"]
    between = [stage for stage in stages if stage.startswith("train ") and stage not in IN_ORDER]
    place = IN_ORDER.index("train grpo")
    known = [s for s in (*IN_ORDER[:place], *between, *IN_ORDER[place:]) if s in stages]
    return [{"stage": stage, "rounds": stages[stage]} for stage in dict.fromkeys([*known, *stages])]


def per_verified(found: Round) -> dict[str, Any] | None:
    """What one verified sample of the round cost: captions and samples, failures included.

    None if nothing was verified. `money` is None if the price of one of the stages is unknown.
    """
    graded = next((v for v in found.chain if v.kind == "sample" and _graded(v)), None)
    right = verified(graded) if graded else 0
    if not right:
        return None
    made = [v.manifest for v in found.chain if v.manifest.stage in GENERATES]
    money = [manifest.money for manifest in made]
    known = [cost for cost in money if cost is not None]
    return {
        "verified": right,
        "tokens": sum(m.prompt_tokens + m.completion_tokens for m in made) / right,
        "written": sum(m.completion_tokens for m in made) / right,
        "money": sum(known) / right if known and len(known) == len(money) else None,
        "seconds": sum(m.seconds for m in made) / right,
    }


def changes(found: Found) -> list[dict[str, Any]]:
    """Consecutive evaluations on the same items: newly solved, newly lost, difference, p.

    If two cannot be compared, `why` says why in a sentence.
    """
    rows = []
    for first, second in consecutive(found.evaluations):
        row: dict[str, Any] = {"earlier": first, "later": second, "why": None}
        try:
            row.update(compare(found.store, first.dataset, second.dataset))
        except UserError as error:
            row["why"] = str(error)
        rows.append(row)
    return rows


def consecutive(evaluations: list[Evaluation]) -> list[tuple[Evaluation, Evaluation]]:
    """Pairs that follow one another in the loop; also the GRPO models of consecutive rounds."""
    pairs = []
    for items in dict.fromkeys(e.items for e in evaluations):
        line = [e for e in evaluations if e.items == items]
        pairs += list(pairwise(line))
        grpo = [e for e in line if e.place[1] == GRPO]
        pairs += [pair for pair in pairwise(grpo) if pair not in pairs]
    return pairs


def metrics(checkpoint: Dataset) -> dict[str, list[tuple[int, float]]]:
    """name -> [(step, value)] of a training's metrics, without NaN; empty if it recorded none."""
    file = checkpoint.path / "metrics.parquet"
    if not file.is_file():
        return {}
    found: dict[str, list[tuple[int, float]]] = {}
    wanted = pa.array(["reward", "completions/mean_length", "loss", "completions/clipped_ratio"])
    table = pq.read_table(file)
    for row in table.filter(pc.is_in(table["name"], value_set=wanted)).to_pylist():
        if drawable(row["value"]):
            found.setdefault(row["name"], []).append((row["step"], row["value"]))
    return found


def thinned(points: list[tuple[int, float]], most: int = 400) -> list[tuple[float, float]]:
    """At most `most` points, as means of equal groups of steps: a screen cannot show more."""
    if len(points) <= most:
        return [(float(step), value) for step, value in points]
    size = -(-len(points) // most)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(s for s, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]


def now() -> str:
    """The current time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
