"""The card of a dataset on the Hub, written from its manifest and those of its ancestors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlt import __version__
from vlt.datagen.hub.card_metadata import card_metadata
from vlt.datagen.hub.dropped import dropped_path
from vlt.datagen.hub.markdown import bars, markdown_table, parameter_leaves
from vlt.filters.signs import GOLD, answer_sources, signs
from vlt.images.store import ImageStore
from vlt.plural import plural
from vlt.workspace.lineage import made_from
from vlt.workspace.schema import MAJORITY, NO_GOLD
from vlt.workspace.store import Dataset, Store

COLUMNS = {
    "id": "hash of source, question, choices, answer and images",
    "source": "the dataset from which the question came",
    "question": "the question",
    "choices": "its choices, if any",
    "answer": "the gold answer",
    "answer_type": "choice, yes_no, integer, float, math, list, time or text",
    "images": "the images, in the order of the question",
    "meta": "JSON: the source's other columns",
    "answer_source": "null: the answer is a gold; majority: the majority answer of a model's samples; none",
    "caption": "the caption over which a text-only model reasoned",
    "caption_model": "the model that wrote the caption",
    "caption_finish_reason": "how the caption ended: stop",
    "sample": "index of the response among those to the same item",
    "response": "everything that the model wrote",
    "reasoning": "the text inside <think>",
    "predicted": "the answer extracted from the response",
    "finish_reason": "stop, length (cut), or a server's own word",
    "prompt_tokens": "tokens of the prompt",
    "completion_tokens": "tokens of the response",
    "model": "the model that wrote the response",
    "verdict": "correct, wrong or unjudged; null before verification",
    "verdict_reason": "why",
    "cut": "the text that a filter removed from the response",
    "agreement": "share of the item's samples with the majority answer",
    "choice_order": "indices of the choices in the order in which they were shown, if it was changed",
    "images_shown": "sha256 of the images shown instead of the row's own",
}
NOT_GOLD = {
    MAJORITY: "with the majority answer of a model's samples instead of a gold",
    NO_GOLD: "without an answer",
}
"""Source of an answer -> how such rows are described."""
TEMPLATE = Path(__file__).with_name("dataset_card.md.jinja")
LONG = 400
"""Maximum characters of a parameter in a table; longer texts (prompts) get a block."""


def dataset_card(
    store: Store,
    dataset: Dataset,
    images: ImageStore,
    *,
    repo: str,
    split: str = "train",
    others: Sequence[str] = (),
    license: str | None = None,
    drawn: Mapping[str, str] | None = None,
) -> str:
    """README.md: YAML for the Hub, then what the data is, how it was made and how to use it.

    The text is in `dataset_card.md.jinja`. `others` are splits that the repository already has;
    `drawn` are figures in it (path -> caption).
    """
    from huggingface_hub import DatasetCard, DatasetCardData

    m = dataset.manifest
    ancestors = made_from(store, dataset)
    stages = [*ancestors, dataset]
    card = DatasetCard.from_template(
        DatasetCardData(**card_metadata(dataset, images, split, others, license)),
        template_path=str(TEMPLATE),
        table=markdown_table,
        title=repo.split("/")[-1],
        repo=repo,
        split=split,
        about=_about(dataset, ancestors),
        ledger=_ledger(stages),
        stages=[_stage(stage) for stage in stages],
        dropped=len(dataset.dropped),
        dropped_files=dropped_path(split, "dropped-*.parquet"),
        dropped_images=dropped_path(split, "images-*.parquet"),
        lineage=[
            [
                s.ref,
                s.manifest.stage,
                ", ".join(p.ref for p in s.manifest.parents),
                f"`{s.manifest.digest[:16]}`",
                s.manifest.created[:19],
            ]
            for s in stages
        ],
        sources=_sources(stages),
        columns=[
            [
                f.name,
                "list of images" if f.name == "images" else _type(f.type),
                COLUMNS.get(f.name, ""),
            ]
            for f in dataset.schema
        ],
        figures=drawn or {},
        statistics=_statistics(dataset),
        vlt_version=m.versions.get("vlt", __version__),
        created=m.created[:10],
        libraries=", ".join(
            f"{name} {version}" for name, version in m.versions.items() if name != "vlt"
        ),
    )
    return f"{card.content}\n"


def _sources(stages: Sequence[Dataset]) -> list[list[str]]:
    """(source, from, licence, version) of each import."""
    rows = []
    for stage in stages:
        m = stage.manifest
        if m.stage == "import":
            p = m.parameters
            where = (
                f"{p['hub']} at {str(p['revision'])[:12]}" if "hub" in p else "the user's own files"
            )
            where = f"drawn by vlt ({m.rows:,})" if p.get("source") == "miniature" else where
            license = m.facts.get("license") or "not known to vlt"
            rows.append([str(p.get("source")), where, str(license), m.ref])
    return rows


def _about(dataset: Dataset, ancestors: Sequence[Dataset]) -> str:
    m = dataset.manifest
    answers = answer_sources(dataset)
    if dataset.kind == "sample":
        models = sorted({_name(a.manifest.parameters) for a in [dataset, *ancestors]} - {""})
        by = f" by {', '.join(models)}" if models else ""
        kind = f"{plural(m.rows, 'chain-of-thought response')}{by} to questions about images"
    elif dataset.kind == "caption":
        kind = f"{plural(m.rows, 'question')} about images, with captions"
    else:
        golds = answers[GOLD] == m.rows
        kind = f"{plural(m.rows, 'question')} about images" + (
            ", with gold answers" if golds else ""
        )
    others = [f"{answers[name]:,} {words}" for name, words in NOT_GOLD.items() if answers[name]]
    if others:
        kind += f" ({'; '.join(others)})"
    return (
        f"{kind}: version {m.ref} of a vlt workspace. Every row "
        "can be traced to its images, prompts, models and checks."
    )


def _name(parameters: Mapping[str, Any]) -> str:
    model = parameters.get("model")
    if isinstance(model, Mapping):
        digest = model.get("digest")
        return str(model.get("name") or (f"model {digest[:12]}" if digest else ""))
    return ""


def _ledger(stages: Sequence[Dataset]) -> list[list[str]]:
    """(version, stage, rows in, kept, dropped, failed)"""
    rows = []
    for stage in stages:
        m = stage.manifest
        if m.kind != "checkpoint":
            dropped = sum(sum(reasons.values()) for reasons in m.dropped.values())
            failed = sum(m.failed.values())
            rows.append(
                [m.ref, m.stage, f"{m.rows_in:,}", f"{m.rows:,}", f"{dropped:,}", f"{failed:,}"]
            )
    return rows


def _stage(stage: Dataset) -> dict[str, Any]:
    """title, parameters (name, value), texts (long ones: name, text), reasons (by, because, rows)"""
    m = stage.manifest
    parameters: list[list[str]] = []
    texts: list[tuple[str, str]] = []
    for name, value in parameter_leaves("", m.parameters):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if "\n" in text or len(text) > LONG:
            texts.append((name, text.replace("~~~", "~ ~ ~")))
        else:
            parameters.append([name, text])
    reasons = [
        [filter, reason, f"{count:,}"]
        for filter, counts in m.dropped.items()
        for reason, count in sorted(counts.items(), key=lambda pair: -pair[1])
    ] + [["failed", reason, f"{count:,}"] for reason, count in m.failed.items()]
    title = f"{m.stage} → {m.ref}"
    return {"title": title, "parameters": parameters, "texts": texts, "reasons": reasons}


def _type(type: pa.DataType) -> str:
    return f"list of {type.value_type}" if pa.types.is_list(type) else str(type)


def _statistics(dataset: Dataset) -> list[tuple[list[str], list[list[str]]]]:
    """Tables: (titles, rows)."""
    names = dataset.schema.names
    tables: list[tuple[list[str], list[list[str]]]] = []
    for column in ("source", "answer_type", "answer_source", "verdict"):
        if column in names:
            counts = Counter[str]()
            for batch in dataset.batches([column]):
                for pair in batch.column(column).value_counts().to_pylist():
                    counts[str(pair["values"])] += pair["counts"]
            if column == "answer_source" and set(counts) - {"None"}:
                counts[GOLD] = counts.pop("None", 0)
                counts = +counts
            if set(counts) - {"None"}:
                tables.append(([column, "rows", ""], bars(counts)))
    if "completion_tokens" in names:
        column = dataset.table(["completion_tokens"]).column("completion_tokens")
        if column.null_count < len(column):
            marks = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
            values = pc.quantile(column, q=list(marks)).to_pylist()
            cells = [f"{value:,.0f}" for value in values]
            titles = ["response tokens", *(f"{int(100 * q)} %" for q in marks)]
            tables.append((titles, [["", *cells]]))
    return [*tables, *_signs(dataset)]


def _signs(dataset: Dataset) -> list[tuple[list[str], list[list[str]]]]:
    """Agreement, sufficiency of captions, and the judges' verdicts."""
    found = signs(dataset)
    tables = []
    if a := found.get("agreement"):
        titles = ["items with several samples", "mean agreement", "all samples agree"]
        tables.append(
            (titles, [[f"{a['items']:,}", f"{a['mean']:.2f}", f"{a['all_the_same']:.0%}"]])
        )
    if s := found.get("sufficiency"):
        titles = [
            "captions with graded samples",
            "mean pass rate",
            "never enough",
            "always enough",
        ]
        cells = [
            f"{s['captions']:,}",
            f"{s['mean']:.2f}",
            f"{s['never']:.0%}",
            f"{s['always']:.0%}",
        ]
        tables.append((titles, [cells]))
    if judged := found.get("judgements"):
        rows = [
            [
                rubric,
                f"{of['judged']:,}",
                f"{of['share_judged']:.0%}",
                "-" if of["pass"] is None else f"{of['pass']:.0%}",
            ]
            for rubric, of in judged.items()
        ]
        tables.append((["rubric", "rows judged", "of all rows", "pass"], rows))
    return tables
