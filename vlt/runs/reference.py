"""The reference of a recipe's keys, as Markdown made of the fields.

python -m vlt.runs.reference docs/recipes.md     (writes it between its two marks)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from typing import Any

from vlt.datagen.import_settings import Import
from vlt.engine.model import Model
from vlt.runs.fields import (
    Decontamination,
    Draws,
    Evaluation,
    Models,
    Phase,
    Prompts,
    PromptText,
    Recipe,
    Round,
    Stop,
    Teacher,
)
from vlt.runs.keys import Key, in_words, keys_of
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.settings import Choose, Training

BEGIN, END = "<!-- keys: made by vlt.runs.reference -->", "<!-- end of keys -->"
PARTS: tuple[tuple[str, type, str], ...] = (
    ("The recipe", Recipe, "The top level. Every key of a round may stand here as well, for all."),
    ("`rounds`: a round", Round, "`dpo`, and a method of your own (file.py:NAME), as `grpo`."),
    ("`teacher`", Teacher, "By its name alone, as a mapping, or a list of either."),
    ("`models`", Models, "Further models under names of your own."),
    ("A model", Model, "By its name alone, or as a mapping."),
    ("`prompts`", Prompts, "Each as below."),
    ("A prompt", PromptText, "By its text alone, or as a mapping."),
    ("`items`: a source", Import, "As `vlt import` takes it."),
    ("`captions`, `reasoning`, `rollouts`, `draw`", Draws, "How responses are drawn."),
    ("`sft`, and `train` of the other methods", Training, "What every training takes."),
    ("`grpo`: a training", Phase, "A round may list several, each from the one before."),
    ("`train` of `grpo`", GrpoTraining, "Beside what every training takes."),
    ("`choose`", Choose, "Of a training."),
    ("`heldout`, `validation`", Evaluation, ""),
    ("`decontaminate`", Decontamination, ""),
    ("`stop`", Stop, ""),
)


def reference() -> str:
    """All tables."""
    return "\n".join(_lines()) + "\n"


def in_document(text: str) -> str:
    """A document with the reference between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _lines() -> Iterator[str]:
    shared = {key.name for key in keys_of(Training)}
    for title, cls, about in PARTS:
        keys = [key for key in keys_of(cls) if key.name != "phases"]
        if is_dataclass(cls) and issubclass(cls, Training) and cls is not Training:
            keys = [key for key in keys if key.name not in shared]
        yield from (f"### {title}", "")
        yield from ([about, ""] if about else [])
        yield from ("| key | value | what it says |", "|---|---|---|")
        yield from (_row(key) for key in keys)
        yield ""


def _row(key: Key) -> str:
    said = " ".join(key.doc.split())
    if key.required:
        said = f"{said} **Needed.**".strip()
    elif not said.endswith("]") and _shown(key.default):
        said = f"{said} [{_shown(key.default)}]"
    cells = (f"`{key.name}`", in_words(key.type), said.replace("|", "\\|").replace("<", "&lt;"))
    return f"| {' | '.join(cells)} |"


def _shown(default: Any) -> str:
    """A default in a recipe's own words; "" where it is nothing, or a whole part."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if default is MISSING or default is None or isinstance(default, Mapping | list | tuple):
        return ""
    return (
        f"{default:g}"
        if isinstance(default, float)
        else str(default)
        if isinstance(default, int | str)
        else ""
    )


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(in_document(file.read_text()))
