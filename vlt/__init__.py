"""vlt: OpenVLThinker's loop (arXiv 2503.17352) as a toolkit.

    import vlt

    ws = vlt.Workspace("workspace")
    items = ws.import_items("questions.jsonl")
    captions = ws.caption(items, vlt.Model("Qwen/Qwen2.5-VL-3B-Instruct", base_url="http://..."))
    samples = ws.reason(captions, vlt.Model("deepseek-ai/...", base_url="http://..."), k=4)
    sft = ws.filter(samples, ["verify", {"select": "shortest"}])
    model = ws.train("sft", sft, "Qwen/Qwen2.5-VL-7B-Instruct", learning_rate=5e-7)

The same stages, identities and versions as on the command line. Everything is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_HOMES = {
    "Workspace": "vlt.api.workspace",
    "load": "vlt.api.workspace",
    "Dataset": "vlt.workspace.store",
    "Model": "vlt.engine.model",
    "Prompt": "vlt.prompts",
    "Asking": "vlt.datagen.asking",
    "Grade": "vlt.grade",
    "Import": "vlt.datagen.import_settings",
    "grade": "vlt.grade",
    "filter": "vlt.plugins",
    "reward": "vlt.plugins",
    "UserError": "vlt.errors",
    "UsageError": "vlt.errors",
}
"""Public name -> the module that defines it."""

__all__ = [
    "Asking",
    "Dataset",
    "Grade",
    "Import",
    "Model",
    "Prompt",
    "UsageError",
    "UserError",
    "Workspace",
    "__version__",
    "filter",
    "grade",
    "load",
    "reward",
]

if TYPE_CHECKING:
    from vlt.api.workspace import Workspace, load
    from vlt.datagen.asking import Asking
    from vlt.datagen.import_settings import Import
    from vlt.engine.model import Model
    from vlt.errors import UsageError, UserError
    from vlt.grade import Grade, grade
    from vlt.plugins import filter, reward
    from vlt.prompts import Prompt
    from vlt.workspace.store import Dataset


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vlt' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    # The package vlt.grade has the name of its function grade, and is itself callable.
    globals().setdefault(name, found)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
