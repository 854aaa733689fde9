"""Example rows: newly solved, newly lost, typical and dropped, with small images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.evaluation.compare import pass_rates
from vlt.images.decode import small_webp
from vlt.images.store import ImageStore
from vlt.report.found import GRPO, Evaluation, Found, Round
from vlt.report.numbers import GENERATES, consecutive
from vlt.workspace.query import rows_of
from vlt.workspace.store import Dataset

SOLVED, LOST, TYPICAL, DROPPED = 3, 2, 3, 2
SIDE = 320
"""Longest side of an embedded image, in px."""
MOST_IMAGES = 4
MAX_CHARACTERS = 2_000
"""Of a text; a longer one is cut with a note."""
_TEXTS = ("question", "answer", "caption", "response", "predicted", "verdict_reason")


def examples(found: Found) -> list[dict[str, Any]]:
    """At most ten examples, in groups: what it shows, the item, its images, and responses to it."""
    shown: list[dict[str, Any]] = []
    pair = _last_pair(found.evaluations)
    if pair:
        shown += _flips(pair, "newly solved", +1, SOLVED)
        shown += _flips(pair, "newly lost", -1, LOST)
    last = next(
        (r for r in reversed(found.rounds) if r.chain and r.chain[-1].kind == "sample"), None
    )
    if last:
        shown += _typical(last)
        shown += _dropped(last)
    _add_images(found.store.images_folder, shown)
    return shown


def _last_pair(evaluations: list[Evaluation]) -> tuple[Evaluation, Evaluation] | None:
    """The last two GRPO models on the same items; else the last two models."""
    pairs = [
        (first, second)
        for first, second in consecutive(evaluations)
        if first.dataset.manifest.parameters == second.dataset.manifest.parameters
    ]
    grpo = [pair for pair in pairs if pair[0].place[1] == pair[1].place[1] == GRPO]
    best = grpo or pairs
    return best[-1] if best else None


def _flips(
    pair: tuple[Evaluation, Evaluation], what: str, sign: int, n: int
) -> list[dict[str, Any]]:
    first, second = pair
    before, after = pass_rates(first.dataset), pass_rates(second.dataset)
    # Ids are digests: their order is as good as random, and reproducible.
    ids = sorted(id for id in before.keys() & after.keys() if sign * (after[id] - before[id]) > 0)
    shown = []
    for id in ids[:n]:
        rows = [_rows(e.dataset, f"id = '{_quoted(id)}'", 1) for e in pair]
        if all(rows):
            responses = [{**r[0], "by": e.model} for r, e in zip(rows, pair, strict=True)]
            title = f"{what} by {second.model}"
            shown.append(_example(what, title, second.dataset.ref, rows[1][0], responses))
    return shown


def _typical(last: Round) -> list[dict[str, Any]]:
    """Rows with a response of about median length; from the training rows if there are any."""
    version = last.chain[-1]
    middle = rows_of(version, columns="median(strlen(response)) as half", limit=None)
    half = middle[0]["half"] if middle else None
    if half is None:
        return []
    made = "samples" if version.manifest.stage in GENERATES else "training rows"
    whose = f"{last.label}'s" if last.number else "the"
    near = f"strlen(response) between {0.9 * half:.0f} and {1.1 * half + 1:.0f}"
    return [
        _example("typical", f"typical of {whose} {made}", version.ref, row, [row])
        for row in _rows(version, near, TYPICAL)
    ]


def _dropped(last: Round) -> list[dict[str, Any]]:
    """One row from each of the filters that dropped the most."""
    version = last.chain[-1]
    counts = {name: sum(reasons.values()) for name, reasons in version.manifest.dropped.items()}
    shown = []
    for name in sorted(counts, key=lambda name: -counts[name])[:DROPPED]:
        for row in _rows(version, f"filter = '{_quoted(name)}'", 1, dropped=True):
            title = f"dropped by {name}"
            shown.append(_example("dropped", title, version.ref, row, [row]))
    return shown


def _rows(version: Dataset, where: str, n: int, *, dropped: bool = False) -> list[dict[str, Any]]:
    """Rows with their texts cut in the database: a megabyte of text is never loaded into memory."""
    texts = [t for t in _TEXTS if t in version.schema.names]
    columns = [f"left({t}, {MAX_CHARACTERS}) as {t}, length({t}) as {t}_length" for t in texts]
    others = [n for n in ("id", "source", "choices", "images") if n in version.schema.names]
    samples = [n for n in ("verdict", "model", "finish_reason", "cut") if n in version.schema.names]
    reasons = ["filter", "left(reason, 400) as reason"] if dropped else []
    wanted = ", ".join([*others, *samples, *columns, *reasons])
    return rows_of(version, where=where, columns=wanted, limit=n, dropped=dropped)


def _example(
    what: str, title: str, ref: str, row: dict[str, Any], responses: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {"what": what, "title": title, "ref": ref, "row": row, "responses": list(responses)}


def _add_images(root: Path, shown: list[dict[str, Any]]) -> None:
    for example in shown:
        example["images"] = []
    if not root.is_dir() or not shown:
        return
    with ImageStore(root, read_only=True) as store:
        for example in shown:
            for sha256 in (example["row"].get("images") or [])[:MOST_IMAGES]:
                try:
                    uri, missing = small(store.read(sha256)), None
                except UserError as error:
                    uri, missing = None, str(error)
                example["images"].append({"uri": uri, "missing": missing})


def small(data: bytes) -> str:
    """An image as a data URI, its longer side at most SIDE px."""
    return "data:image/webp;base64," + base64.b64encode(small_webp(data, SIDE)).decode()


def _quoted(value: str) -> str:
    return value.replace("'", "''")
