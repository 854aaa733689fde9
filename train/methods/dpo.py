"""Direct preference optimization on correct and wrong answers, with TRL's DPOTrainer.

    vlt train dpo --data sft --model sft-model --set beta=0.1

A pair is two samples of one item: the model learns to prefer the one that verification found correct
over the one that it found wrong (Rafailov et al. 2023, arXiv 2305.18290).
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from annotated_types import Ge

from vlt.errors import UserError
from vlt.fields import Option
from vlt.train.method import Method, Row
from vlt.train.settings import Training

if TYPE_CHECKING:
    import pyarrow as pa

    from vlt.train.child import Given
    from vlt.workspace.store import Dataset, Store

Policy = Literal["first", "shortest", "longest", "random"]
"""Which samples of an item its pairs use."""

Candidate = tuple[int, int]
"""A sample's number, and the length of its response in characters."""

READS = ("id", "sample", "response", "verdict", "choice_order")
REJECTED = "rejected_response"
"""Column of `rows`: the wrong sample's response, beside the correct sample's own columns."""


@dataclass(frozen=True, kw_only=True)
class DpoTraining(Training):
    """Training, and how an item's pairs are chosen from its samples."""

    chosen: Annotated[Policy, Option(metavar="POLICY")] = "first"
    """Which of an item's correct samples is chosen: first, shortest, longest or random."""
    rejected: Annotated[Policy, Option(metavar="POLICY")] = "first"
    """Which of its wrong samples is rejected: first, shortest, longest or random."""
    pairs: Annotated[int, Ge(1)] = 1
    """Maximum pairs per item; no sample is in two of them if there are enough."""


def parameters(settings: DpoTraining) -> dict[str, Any]:
    """How pairs are chosen, as part of the checkpoint's identity."""
    for name in ("chosen", "rejected"):
        if (value := getattr(settings, name)) not in get_args(Policy):
            raise UserError(
                f"{name}: {value!r} is not a policy; there are {', '.join(get_args(Policy))}"
            )
    return {"chosen": settings.chosen, "rejected": settings.rejected, "pairs": settings.pairs}


def columns() -> pa.Schema:
    """One row is a prompt with the preferred answer and the rejected one."""
    import pyarrow as pa

    from vlt.train.trl_rows import MESSAGES

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("source", pa.string()),
            ("chosen_sample", pa.int32()),
            ("rejected_sample", pa.int32()),
            ("prompt", MESSAGES),
            ("chosen", MESSAGES),
            ("rejected", MESSAGES),
            ("images", pa.list_(pa.string())),
        ]
    )


def rows(store: Store, data: Dataset, settings: DpoTraining) -> pa.Table:
    """The pairs of every item that has both a correct and a wrong sample, in the order of `data`.

    A correct sample must have been kept. Wrong ones also count if a filter dropped them, here or in
    a version that this one was made from, since verification drops them all.
    """
    import pyarrow as pa

    from vlt.workspace.schema import SAMPLE

    pairs = _choose_pairs(store, data, settings)
    wanted = {(id, wrong) for (id, _), wrongs in pairs.items() for wrong in wrongs}
    texts = {
        (row["id"], row["sample"]): row["response"]
        for batch in _judged(store, data)
        for row in batch.select(["id", "sample", "response"]).to_pylist()
        if (row["id"], row["sample"]) in wanted
    }
    schema = pa.schema([*SAMPLE, ("rejected_sample", pa.int32()), (REJECTED, pa.string())])
    made = [
        {**row, "rejected_sample": wrong, REJECTED: texts[row["id"], wrong]}
        for batch in data.batches()
        for row in batch.to_pylist()
        for wrong in pairs.get((row["id"], row["sample"]), [])
    ]
    return pa.Table.from_pylist(made, schema)


def _choose_pairs(
    store: Store, data: Dataset, settings: DpoTraining
) -> dict[tuple[str, int], list[int]]:
    """(id, number of a correct sample) -> numbers of the wrong ones that it is paired with."""
    right, wrong = _by_item(data.batches(READS), "correct"), _by_item(_judged(store, data), "wrong")
    pairs: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (id, order), candidates in right.items():
        for chosen, rejected in _pairs(id, candidates, wrong.get((id, order), []), settings):
            pairs[id, chosen].append(rejected)
    if not pairs:
        raise UserError(
            f"{data.ref} has no item with a correct and a wrong sample, so there is nothing to "
            "prefer; draw more samples of each item (-k) and verify them (`vlt filter --verify`)"
        )
    return pairs


def _judged(store: Store, data: Dataset) -> Iterator[pa.RecordBatch]:
    """The samples of `data`, and those that were dropped in its versions of origin."""
    yield from data.batches(READS)
    for version in versions(store, data):
        yield from version.dropped.batches(READS)


def versions(store: Store, data: Dataset) -> list[Dataset]:
    """`data` and the sample versions that it was made from: their dropped rows count too."""
    from vlt.workspace.lineage import ancestors

    walk = ancestors(store, data, through=lambda v: v.kind == "sample", gone=True)
    return [each.dataset for each in walk if not each.again]


def _by_item(
    batches: Iterable[pa.RecordBatch], verdict: str
) -> dict[tuple[str, str], list[Candidate]]:
    """(id, order of its choices) -> the samples with that verdict as (number, length in characters).

    Only samples of the same prompt make a pair.
    """
    import pyarrow.compute as pc

    found: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for batch in batches:
        rows = batch.filter(pc.equal(batch["verdict"], verdict))
        lengths = pc.utf8_length(pc.fill_null(rows["response"], ""))
        names = ("id", "choice_order", "sample")
        columns = [*(rows[name].to_pylist() for name in names), lengths.to_pylist()]
        for id, order, sample, length in zip(*columns, strict=True):
            if length:
                found[id, str(order or "")].append((sample, length))
    return {key: sorted(samples) for key, samples in found.items()}


def _pairs(
    id: str, right: list[Candidate], wrong: list[Candidate], settings: DpoTraining
) -> list[tuple[int, int]]:
    """Numbers of the correct and the wrong sample of each pair; none is reused before all have been used."""
    if not wrong:
        return []
    seed = settings.settings.get("seed", 0)
    chosen = _ordered(right, settings.chosen, f"{seed} {id} chosen")
    rejected = _ordered(wrong, settings.rejected, f"{seed} {id} rejected")
    every = math.lcm(len(chosen), len(rejected))  # after this many pairs they would repeat
    return [
        (chosen[i % len(chosen)], rejected[(i + i // every) % len(rejected)])
        for i in range(min(settings.pairs, len(chosen) * len(rejected)))
    ]


def _ordered(samples: list[Candidate], policy: str, seed: str) -> list[int]:
    if policy == "random":
        return [sample for sample, _ in random.Random(seed).sample(samples, len(samples))]
    sign = {"first": 0, "shortest": 1, "longest": -1}[policy]
    return [sample for sample, _ in sorted(samples, key=lambda s: (sign * s[1], s[0]))]


def example(row: Row) -> Row | str:
    """Both are everything that the model wrote."""
    return {
        "chosen_sample": row["sample"],
        "chosen": [{"role": "assistant", "content": row["response"]}],
        "rejected": [{"role": "assistant", "content": row[REJECTED]}],
    }


def trainer(given: Given) -> Any:
    """TRL's trainer; the reference is the model from which the training starts."""
    from vlt.engine.chat import sees
    from vlt.train.dpo_trainer import RowsDPOTrainer
    from vlt.train.turns import Collator

    unread = ("id", "source", "chosen_sample", "rejected_sample")
    more: dict[str, Any] = {}
    if sees(given.processor):
        given.config.remove_unused_columns = False
        more["data_collator"] = Collator(given.turns, METHOD.completions)
    return RowsDPOTrainer(**given.arguments(without=unread), **more, turns=given.turns)


METHOD = Method(
    name="dpo",
    about="Teach a model to prefer its correct answers over its wrong ones.",
    takes=("sample",),
    made_by="vlt filter --verify",
    config=("trl", "trainer/dpo_config.py", "DPOConfig"),
    training=DpoTraining,
    parameters=parameters,
    columns=columns,
    rows=rows,
    taken_out=versions,
    completions=("chosen", "rejected"),
    example=example,
    trainer=trainer,
    # As for SFT: TRL's 1024 may truncate answers, and cut image tokens out of the prompt.
    always={"max_length": None},
    without_images={
        "max_length": (
            "would cut image tokens out of the rows; leave it out and drop long samples with "
            "`vlt filter --max-words`, or limit pixels"
        ),
        "padding_free": "does not work with images in TRL; leave it out",
        "precompute_ref_log_probs": "does not work with images in TRL; leave it out",
    },
    paper={
        "learning_rate": (1e-6, "Rafailov et al. 2023, appendix B"),
        "beta": (0.1, "Rafailov et al. 2023, appendix B"),
        "warmup_steps": (150, "Rafailov et al. 2023, appendix B"),
        "effective batch": (64, "Rafailov et al. 2023, appendix B"),
        "optim": ("rmsprop", "Rafailov et al. 2023, appendix B"),
    },
    shown=(
        "loss_type",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "num_train_epochs",
        "max_length",
        "seed",
    ),
    goal="rewards/margins",
    curves=("loss", "rewards/margins", "rewards/accuracies"),
)
