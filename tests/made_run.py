"""A run of a recipe written by hand: all its versions with their parents, and no model in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.rows import item, sample
from tests.tiny import png
from vlt.evaluation.evaluate import make_verdicts
from vlt.images.store import ImageStore
from vlt.train.callbacks import write_metrics
from vlt.train.checkpoint import Built, make_checkpoint
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import KINDS
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

BASE = {"name": "base/vlm", "revision": None}
ASKED = {"k": 1, "limit": None, "prompt": {"user": "{question} Think first."}, "sampling": {}}
HELD_OUT, ITEMS, K = 20, 12, 4


def write(
    store: Store,
    stage: Stage,
    name: str,
    kind: str,
    rows: list[dict[str, Any]],
    parents: list[Dataset],
    *,
    round: int | None = None,
    dropped: list[tuple[str, str, dict[str, Any]]] | None = None,
    money: float | None = None,
) -> Dataset:
    """A version of these rows; `dropped` are (filter, reason, row)."""
    schema = KINDS[kind]
    with Writer(store, stage, name, kind, parents, round=round) as writer:
        for row in rows:
            table = pa.Table.from_pylist([row], schema)
            writer.expect(table)
            writer.keep(table)
            if stage.name.startswith("gen ") and kind == "sample":
                prompt = 0 if row["sample"] else row["prompt_tokens"]  # an item's samples share it
                writer.count_tokens(prompt, row["completion_tokens"])
        for taken_by, reason, row in dropped or []:
            table = pa.Table.from_pylist([row], schema)
            writer.expect(table)
            if taken_by == "failed":
                writer.fail(table, [reason])
            else:
                writer.drop(table, taken_by, [reason])
        writer.money = money
    return writer.dataset


def made_run(store: Store, *, rounds: int = 2, text: str = "", evaluated: bool = True) -> None:
    """Held-out items, and `rounds` rounds of data, SFT, GRPO and their evaluations.

    `text` stands in every text that a source or a model has written.
    """
    heldout = write(
        store, Stage("import", {"source": "held"}), "heldout", "item", _items(store, -1, text), []
    )
    if evaluated:
        evaluation(store, "eval-base", heldout, BASE, 0, text=text)
    before = None
    for number in range(1, rounds + 1):
        before = _round(store, number, heldout, before, text, evaluated)


def _items(store: Store, number: int, text: str) -> list[dict[str, Any]]:
    n = HELD_OUT if number < 0 else ITEMS
    with ImageStore(store.images_folder) as images:
        return [
            item(
                f"How many in {number}, {i}?{text}",
                str(i),
                source=f"{'ab'[i % 2]}{text}",
                images=[images.add(png((i, 40, 90), (40 + i, 30)))],
            )
            for i in range(n)
        ]


def _round(
    store: Store,
    number: int,
    heldout: Dataset,
    before: Dataset | None,
    text: str,
    evaluated: bool,
) -> Dataset:
    at: dict[str, Any] = {"round": number}
    rows = _items(store, number, text)
    settings = {"source": "drawn", "round": number}
    items = write(store, Stage("import", settings), "items", "item", rows, [], **at)
    parents, kind = [items], "gen rollouts"
    if before is None:
        captions = [{**row, "caption": f"A picture.{text}"} for row in rows]
        stage = Stage("gen captions", {"model": BASE})
        parents = [write(store, stage, "captions", "caption", captions, parents, money=0.5, **at)]
        kind = "gen reasoning"
    else:
        parents.append(before)
    drawn = [_sample(row, i, k, number, text) for i, row in enumerate(rows) for k in range(K)]
    stage = Stage(kind, {"model": BASE, "k": K, "round": number})
    samples = write(store, stage, "samples", "sample", drawn, parents, money=2.0, **at)
    sft = filtered(store, samples, drawn, text, **at)
    trained = checkpoint(store, "sft-model", "train sft", [sft], number, BASE)
    tuned = checkpoint(
        store, "grpo-model", "train grpo", [items, trained], number, _digest(trained)
    )
    if evaluated:
        for name, model, place in (("sft", trained, 1), ("grpo", tuned, 2)):
            level = 2 * number - 2 + place
            evaluation(
                store, f"eval-{name}", heldout, _digest(model), level, model, text=text, **at
            )
    return tuned


def _sample(row: dict[str, Any], i: int, k: int, number: int, text: str) -> dict[str, Any]:
    """Item i is solved by i % (K + 1) of its K samples; the sample k thinks i + 5k words."""
    right = k < i % (K + 1)
    thought = " ".join(["word"] * (i + 5 * k) + (["Wait, no."] if k == number else []))
    answer = row["answer"] if right else "none"
    return sample(
        f"<think>{thought}{text}</think> <answer>{answer}</answer>",
        k,
        row,
        reasoning=f"{thought}{text}",
        predicted=answer,
        verdict="correct" if right else "wrong",
        verdict_reason=f"because{text}",
        model=f"m{text}",
    )


def filtered(
    store: Store, samples: Dataset, rows: list[dict[str, Any]], text: str = "", **at: Any
) -> Dataset:
    """What verify and select leave: the first right sample of each item."""
    kept, dropped, taken = [], [], set()
    for row in rows:
        if row["verdict"] != "correct":
            dropped.append(("verify", f"wrong{text}", row))
        elif row["id"] in taken:
            dropped.append(("select", "not the shortest", row))
        else:
            taken.add(row["id"])
            kept.append(row)
    dropped[0] = ("failed", f"no grader{text}", dropped[0][2])
    chain = [{"filter": "verify"}, {"filter": "select"}, {"filter": "repetition"}]
    stage = Stage("filter", {"chain": chain})
    return write(store, stage, "sft", "sample", kept, [samples], dropped=dropped, **at)


def checkpoint(
    store: Store,
    name: str,
    stage: str,
    parents: list[Dataset],
    number: int | None,
    model: dict[str, Any],
) -> Dataset:
    """A checkpoint with the metrics of a training, one of them NaN; its weights are no model's."""

    def build(folder: Path) -> Built:
        made = folder / "model"
        made.mkdir()
        (made / "config.json").write_text(json.dumps({"of": name, "round": number}))
        (made / "model.safetensors").write_bytes(f"{name} {number}".encode())
        logs: list[dict[str, Any]] = [{"step": step, "loss": 1 / step} for step in range(1, 9)]
        if stage == "train grpo":
            for log in logs:
                log["reward"] = 0.1 * log["step"] if log["step"] != 4 else float("nan")
                log["completions/mean_length"] = 20.0 + log["step"]
        write_metrics(logs, made / "metrics.parquet")
        facts = {"steps": 8, "loss": {"first": 1.0, "last": 0.125}, "trained": 1234}
        return Built(facts, rows_in=9, rows=9)

    made, _ = make_checkpoint(
        store, Stage(stage, {"model": model}), parents, build, name=name, round=number
    )
    return made


def evaluation(
    store: Store,
    name: str,
    items: Dataset,
    model: dict[str, Any],
    level: int,
    checkpoint: Dataset | None = None,
    *,
    text: str = "",
    **at: Any,
) -> Dataset:
    """Answers and their verdicts: the model of level n is right on the items i with i % 5 <= n.

    But for the last item, which the last model (level 4) of two rounds has unlearnt.
    """
    rows = []
    for i, row in enumerate(sorted(items.table().to_pylist(), key=lambda row: int(row["answer"]))):
        right = i % 5 <= level if i < HELD_OUT - 1 else level < 4
        thought = " ".join(["word"] * (3 + level))
        answer = row["answer"] if right else "none"
        rows.append(
            sample(
                f"<think>{thought}{text}</think> <answer>{answer}</answer>",
                0,
                row,
                model=f"m{text}",
            )
        )
    parents = [items] + ([checkpoint] if checkpoint else [])
    stage = Stage("gen rollouts", {"model": model, **ASKED})
    answers = write(store, stage, f"{name}-answers", "sample", rows, parents, **at)
    verdicts, _ = make_verdicts(store, answers, name=name, **at)
    return verdicts


def _digest(model: Dataset) -> dict[str, Any]:
    return {"digest": model.manifest.digest}
