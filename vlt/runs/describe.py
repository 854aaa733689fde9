"""How the plan describes sources, draws, trainings and filters, in one line each."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from vlt.datagen.asking import Draw
from vlt.plural import plural
from vlt.runs.fields import Decontamination, Phase, Source
from vlt.train.settings import Training


def of_draw(draw: Draw) -> str:
    """k = 4, temperature 0.6, at most 2048 tokens"""
    k = f"k = {draw.k}, " if draw.k > 1 else ""
    return f"{k}temperature {draw.temperature:g}, at most {draw.max_tokens} tokens"


def of_source(source: Source) -> str:
    """geometry3k, train, 500 items"""
    amount = source.limit or source.sample or source.settings.get("n")
    parts = [source.source, source.split, plural(amount, "item") if amount else "all items"]
    return ", ".join(part for part in parts if part)


_SHARED = {f.name for f in fields(Training)}


def _default(f: Field[Any]) -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()


def of_train(train: Training) -> str:
    """frozen: vision_tower, learning_rate 1e-06, ..."""
    frozen = [f"frozen: {' and '.join(train.freeze)}"] if train.freeze else []
    lora = [f"LoRA {', '.join(f'{k} {v}' for k, v in train.lora.items())}"] if train.lora else []
    own = [
        f"{f.name} {of_filter(value)}"
        for f in fields(train)
        if f.name not in _SHARED and (value := getattr(train, f.name)) != _default(f)
    ]
    chosen = (
        [f"the best of every {train.choose.every} steps on validation items"]
        if train.choose
        else []
    )
    settings = (f"{key} {value}" for key, value in train.settings.items())
    return ", ".join([*frozen, *lora, *own, *chosen, *settings])


def of_filter(filter: Any) -> str:
    """select shortest"""
    if isinstance(filter, dict):
        return ", ".join(f"{name} {value}" for name, value in filter.items())
    return str(filter)


def of_band(phase: Phase) -> str:
    """pass rate 0.2-0.8 of the round's samples"""
    if not phase.rated_by:
        return ""
    whose = {
        "samples": "of the round's samples",
        "previous": "of the previous round's samples",
        "rollouts": "of new rollouts",
    }[phase.rated_by or ""]
    if not phase.difficulty:
        return f", hints where the pass rate {whose} is 0"
    return f", pass rate {phase.difficulty[0]:g}-{phase.difficulty[1]:g} {whose}"


def of_kept_out(settings: Decontamination, names: list[str]) -> str:
    """decontaminated against heldout and mathvista"""
    settled = [of_filter(settings.settings())] if settings.settings() else []
    *others, last = names
    against = f"{', '.join(others)} and {last}" if others else last
    return ", ".join([f"decontaminated against {against}", *settled])
