"""The effective settings of a training, beside the paper's values and TRL's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlt.train.method import Method
from vlt.train.trl_fields import fields
from vlt.train.trl_settings import EXECUTION, resolve


def explain(
    method: Method, settings: Mapping[str, Any], processes: int = 1
) -> list[dict[str, Any]]:
    """Rows of setting, value, set by, paper, TRL's default, source."""
    given = resolve(method, settings, images=True)
    known, paper = fields(method.config), method.paper
    effective = {**{n: f.default for n, f in known.items()}, **EXECUTION, **given}
    names = [*paper, *method.shown, *given, *EXECUTION]
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
            by = _by(method, name, settings)
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


def _by(method: Method, name: str, settings: Mapping[str, Any]) -> str:
    if name in settings:
        return "you"
    return "vlt" if name in method.always or name in EXECUTION else "TRL"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
