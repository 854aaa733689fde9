"""What a training will really run with, beside the paper's value and TRL's default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlt.train.settings import ALWAYS, EXECUTION, resolve
from vlt.train.trl_fields import fields

PAPER: dict[str, dict[str, tuple[Any, str]]] = {
    "sft": {
        "learning_rate": (5e-7, "table 7; upstream's sft.yaml has 5e-6"),
        "lr_scheduler_type": ("cosine", "table 7"),
        "warmup_steps": (0.1, "table 7, a ratio of all steps"),
        "num_train_epochs": (1, "table 7"),
        "effective batch": (32, "table 7"),
        "bf16": (True, "upstream, sft.yaml"),
        "completion_only_loss": (True, "LLaMA-Factory's rule"),
    },
    "grpo": {
        "learning_rate": (1e-6, "table 8"),
        "lr_scheduler_type": ("constant", "EasyR1's default"),
        "weight_decay": (1e-2, "table 8"),
        "beta": (1e-2, "upstream, kl_coef with low_var_kl"),
        "epsilon": (0.2, "EasyR1's clip_ratio_low"),
        "epsilon_high": (0.3, "EasyR1's clip_ratio_high"),
        "delta": (3.0, "EasyR1's clip_ratio_dual"),
        "loss_type": ("bnpo", "EasyR1 averages over the batch's tokens"),
        "num_generations": (5, "upstream, rollout.n"),
        "generation_batch_size": (2560, "512 prompts x 5"),
        "effective batch": (640, "128 prompts x 5"),
        "temperature": (1.0, "upstream, easyr1 config.yaml"),
        "top_p": (0.99, "upstream, easyr1 config.yaml"),
        "max_completion_length": (2048, "upstream, max_response_length"),
        "scale_rewards": ("group", "GRPO"),
        "bf16": (True, "upstream, easyr1 config.yaml"),
    },
}
"""Field of TRL's -> the paper's or upstream's value, and where it stands."""

SHOWN = {
    "sft": ("per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "seed"),
    "grpo": ("per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "seed"),
}


def explain(kind: str, settings: Mapping[str, Any], processes: int = 1) -> list[dict[str, Any]]:
    """Rows of setting, value, set by, paper, TRL's default, source; kind is "sft" or "grpo"."""
    given = resolve(kind, settings, images=True)
    known, paper = fields(kind), PAPER[kind]
    effective = {**{n: f.default for n, f in known.items()}, **EXECUTION, **given}
    names = [*paper, *SHOWN[kind], *given, *EXECUTION]
    rows = []
    for name in dict.fromkeys(names):
        value, source = paper.get(name, (None, ""))
        if name == "effective batch":
            batch = (
                effective["per_device_train_batch_size"]
                * effective["gradient_accumulation_steps"]
                * processes
            )
            default, now, by = 8, batch, f"batch x accumulation x {processes} processes"
        else:
            default, now = known[name].default, effective[name]
            by = _by(kind, name, settings)
        rows.append(
            {
                "setting": name,
                "value": _shown(now),
                "set by": by,
                "paper": _shown(value) if name in paper else "-",
                "TRL": _shown(default),
                "source": source,
            }
        )
    return rows


def _by(kind: str, name: str, settings: Mapping[str, Any]) -> str:
    if name in settings:
        return "you"
    return "vlt" if name in ALWAYS[kind] or name in EXECUTION else "TRL"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
