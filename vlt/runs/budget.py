"""What steps take: planned from the recipe before anything is made, and spent as the versions say.

Planned tokens are bounds of what is written: every response as long as it may be, every sample kept,
prompts not counted. What cannot be known before (the rows of a source that is on the Hub, the speed of
a machine) is None.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import ceil, prod
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow.parquet as pq

from vlt.datagen.sources.known import KNOWN
from vlt.engine.model import Model
from vlt.runs.canary import CanaryItems, Look
from vlt.runs.judged import Judgements
from vlt.runs.stages import (
    Captions,
    Evaluate,
    Filter,
    Import,
    KeepApart,
    Mix,
    Reasoning,
    Rollouts,
    Train,
)
from vlt.runs.step import Key, Step
from vlt.train.trl_fields import fields as trl_fields
from vlt.train.trl_settings import EXECUTION
from vlt.workspace.store import Dataset, Store

FLOPS_A_TOKEN = 6
"""Of a training, for each parameter (Kaplan et al. 2020): forward 2, backward 4."""
_BILLIONS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?[bB](?![a-zA-Z])")


@dataclass(frozen=True)
class Budget:
    """What some steps take; None is not known."""

    grpo_steps: float | None = 0
    completions: float | None = 0
    """That GRPO samples."""
    sampled_tokens: float | None = 0
    """That models write: captions, samples, answers, and GRPO's completions."""
    trained_tokens: float | None = 0
    """That go through a model in training."""
    training_flops: float | None = 0
    seconds: float | None = 0

    def __add__(self, other: Budget) -> Budget:
        values = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Budget(*(None if a is None or b is None else a + b for a, b in values))

    def share(self, of: int) -> Budget:
        """One of so many equal parts."""
        values = (getattr(self, f.name) for f in fields(self))
        return Budget(*(None if value is None else value / of for value in values))

    def as_json(self) -> dict[str, float | None]:
        """Name -> number."""
        return asdict(self)


def planned(
    base: Model,
    steps: Sequence[Step],
    there: Sequence[Dataset | None] = (),
    store: Store | None = None,
) -> list[Budget]:
    """[steps] of students made from `base`; `there` are the versions of the steps that are there already,
    and the times of other versions of `store` say how long a step may take."""
    plan = _Plan(parameters_of(base), store)
    versions = there or [None] * len(steps)
    return [
        Budget() if step.earlier else plan.of(step, version)
        for step, version in zip(steps, versions, strict=True)
    ]


def total(steps: Sequence[Step], budgets: Sequence[Budget]) -> Budget:
    """Of all steps of the rounds: items and the base's accuracy come before every arm alike."""
    of_rounds = (b for step, b in zip(steps, budgets, strict=True) if step.round)
    return sum(of_rounds, Budget())


def spent(versions: Sequence[Dataset]) -> Budget:
    """What it took to make these versions."""
    found = Budget()
    for version in {v.ref: v for v in versions}.values():
        m = version.manifest
        trained = max(_metric(version.path, "num_tokens"), default=0)
        grpo = m.stage == "train grpo"
        completions = _completions(version.path) if grpo else 0
        lengths = _metric(version.path, "completions/mean_length") if grpo else []
        found += Budget(
            grpo_steps=m.facts.get("steps", 0) if grpo else 0,
            completions=completions,
            sampled_tokens=m.completion_tokens + completions * (mean(lengths) if lengths else 0),
            trained_tokens=trained,
            training_flops=FLOPS_A_TOKEN * m.facts.get("parameters", 0) * trained,
            seconds=m.seconds,
        )
    return found


class _Plan:
    """Rows that the steps so far make, at most."""

    def __init__(self, size: float | None, store: Store | None):
        self.size = size
        self.known = list(store.all()) if store else []
        self.rows: dict[Key, float | None] = {}
        self.items: dict[Key, float | None] = {}
        """Distinct items among them."""
        self.longest: dict[Key, int] = {}
        """Tokens of a response."""

    def of(self, step: Step, version: Dataset | None) -> Budget:
        stage = step.stage
        rows, items, budget = self._made(stage)
        if version:
            rows = version.manifest.rows
            of_samples = isinstance(stage, Reasoning | Rollouts | Judgements | Filter)
            items = items if of_samples else rows
        self.rows[step.key], self.items[step.key] = rows, items
        if isinstance(stage, Reasoning | Rollouts):
            self.longest[step.key] = stage.asking.max_tokens
        elif isinstance(stage, Judgements):
            self.longest[step.key] = self.longest.get(stage.samples, 0)
        elif isinstance(stage, Filter):
            self.longest[step.key] = max(self.longest.get(key, 0) for key in stage.samples)
        return budget + Budget(seconds=self._seconds(step, version, rows))

    def _made(self, stage: Any) -> tuple[float | None, float | None, Budget]:
        """(rows, items, budget) of a stage."""
        if isinstance(stage, Import):
            s = stage.source
            wanted, known = s.limit or s.sample or s.settings.get("n"), _known_rows(s.source)
            rows = min(wanted, known) if wanted and known else wanted or known
            return rows, rows, Budget()
        if isinstance(stage, Mix):
            rows = _sum(self.rows.get(key) for key in stage.inputs)
            return rows, rows, Budget()
        if isinstance(stage, KeepApart):
            rows = self.rows.get(stage.items)
            return rows, rows, Budget()
        if isinstance(stage, CanaryItems):
            known = self.rows.get(stage.items)
            return (None if known is None else min(known, stage.sample)), None, Budget()
        if isinstance(stage, Captions | Reasoning | Rollouts | Evaluate | Look):
            asked = stage.inputs[0]  # the rows
            items = self.rows.get(asked)
            samples = _times(items, stage.asking.k)
            tokens = _times(samples, stage.asking.max_tokens)
            return samples, items, Budget(sampled_tokens=tokens)
        if isinstance(stage, Judgements):
            rows, items = self.rows.get(stage.samples), self.items.get(stage.samples)
            replies = _times(rows, stage.asking.k * len(stage.models))
            tokens = _times(replies, stage.asking.max_tokens)
            return rows, items, Budget(sampled_tokens=tokens)
        if isinstance(stage, Filter):
            items = _sum(self.items.get(key) for key in stage.samples)
            rows = _sum(self.rows.get(key) for key in stage.samples)
            return (items if "select" in str(stage.chain) else rows), items, Budget()
        if isinstance(stage, Train):
            grpo = stage.method.name == "grpo"
            data = self.items if grpo else self.rows
            length = self.longest.get(stage.data)
            return None, None, _training(stage, data.get(stage.data), length, self.size)
        return None, None, Budget()

    def _seconds(self, step: Step, version: Dataset | None, rows: float | None) -> float | None:
        """As long as it took; else as long as others of its kind, by the row or by the step."""
        if version:
            return version.manifest.seconds
        if isinstance(step.stage, Import | Mix | KeepApart | Filter | CanaryItems):
            return 0.0  # little beside what models take
        alike = [v.manifest for v in self.known if v.manifest.name.partition(".")[0] == step.name]
        for m in reversed(alike):
            done = m.facts.get("steps") if isinstance(step.stage, Train) else m.rows
            wanted = (
                steps_of(step.stage, self._data(step)) if isinstance(step.stage, Train) else rows
            )
            if done and wanted is not None:
                return m.seconds * wanted / done
        return None

    def _data(self, step: Step) -> float | None:
        stage = step.stage
        if not isinstance(stage, Train):
            return None
        return (self.items if stage.method.name == "grpo" else self.rows).get(stage.data)


def _known_rows(source: str) -> float | None:
    """Of a dataset whose size its card says."""
    rows = next((known.rows for known in KNOWN if known.name == source), None)
    if rows is None:
        return None
    number = float(rows.replace(",", "").removesuffix("k"))
    return number * 1000 if rows.endswith("k") else number


def steps_of(stage: Train, rows: float | None) -> float | None:
    """Optimizer steps of a training, as TRL counts them; None where that hangs on unknown rows."""
    get = _settings(stage)
    if (get["max_steps"] or 0) > 0:
        return float(get["max_steps"])
    if rows is None:
        return None
    each = (get.get("num_generations") or 1) * (get.get("num_iterations") or 1)
    return float(ceil(float(get["num_train_epochs"]) * ceil(rows * each / _batch(stage, get))))


def _training(stage: Train, rows: float | None, length: int | None, size: float | None) -> Budget:
    get = _settings(stage)
    steps = steps_of(stage, rows)
    seen = _times(steps, _batch(stage, get))
    grpo = stage.method.name == "grpo"
    tokens = _times(seen, get.get("max_completion_length") if grpo else length)
    flops = _times(_times(tokens, size), FLOPS_A_TOKEN)
    if not grpo:
        return Budget(trained_tokens=tokens, training_flops=flops)
    drawn = None if seen is None else seen / (get.get("num_iterations") or 1)
    return Budget(steps, drawn, _times(drawn, get["max_completion_length"]), tokens, flops)


def _settings(stage: Train) -> dict[str, Any]:
    """TRL's fields as this training has them."""
    known = {name: field.default for name, field in trl_fields(stage.method.config).items()}
    return {**known, **EXECUTION, **stage.method.always, **stage.training.settings}


def _batch(stage: Train, get: Mapping[str, Any]) -> float:
    """Rows (of GRPO: completions) of one optimizer step."""
    batch = get["per_device_train_batch_size"] * get["gradient_accumulation_steps"]
    return float(batch * stage.training.processes)


def parameters_of(model: Model) -> float | None:
    """How many it has: of a folder its weights', else what the name says (7B)."""
    files = list(Path(model.model).glob("*.safetensors")) if Path(model.model).is_dir() else []
    if files:
        return float(sum(map(_parameters_in, files)))
    found = _BILLIONS.search(model.model.replace("-", " ").replace("_", " "))
    return float(found[1]) * 1e9 if found else None


def _parameters_in(file: Path) -> int:
    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
    return sum(prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def _sum(values: Any) -> float | None:
    found = list(values)
    return None if None in found else sum(found)


def _times(value: float | None, by: float | None) -> float | None:
    return None if value is None or by is None else value * by


def _metric(checkpoint: Path, name: str) -> list[float]:
    """A metric at each logged step; num_tokens are those that went through the model by then."""
    file = checkpoint / "metrics.parquet"
    if not file.is_file():
        return []
    return [row["value"] for row in pq.read_table(file, filters=[("name", "=", name)]).to_pylist()]


def _completions(checkpoint: Path) -> int:
    """Completions that GRPO sampled."""
    file = checkpoint / "rollouts.parquet"
    return pq.read_metadata(file).num_rows if file.is_file() else 0
