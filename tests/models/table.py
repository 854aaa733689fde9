"""The table of families and steps in docs/models.md.

    python -m tests.models.table

writes it there anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.models.more_families import FAMILIES

STEPS = {
    "answers": "answers",
    "sft": "SFT",
    "batches": "mixed rows",
    "grpo": "GRPO",
    "dpo": "DPO",
    "lora": "LoRA",
    "reload": "reload",
    "pixels": "pixels",
}
"""A test's name, less test_ -> its column."""
RANGES = {
    "": "no pictures",
    "area": "yes",
    "side": "max",
    "tiles": "whole tiles",
    "grid": "refused",
    "fixed": "refused",
}
"""A size rule -> what becomes of a range of pixels."""
DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- table -->", "<!-- end of the table -->"


def written(found: Mapping[tuple[str, str], str] | None = None) -> list[str]:
    """The table's lines: of what is claimed, or of what was found."""
    lines = [
        f"| family | {' | '.join(STEPS.values())} |",
        f"|---|{'---|' * len(STEPS)}",
    ]
    for name, family in FAMILIES.items():
        cells = []
        for step in STEPS:
            cell = RANGES[family.rule] if step == "pixels" else "yes"
            if found is not None:
                outcome = found.get((name, step))
                cell = {"passed": cell, "skipped": cell, "failed": "FAILED"}.get(outcome or "", "-")
            cells.append(cell)
        lines.append(f"| {family.title} | {' | '.join(cells)} |")
    return lines


def placed(text: str) -> str:
    """The page with the table in its place."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return "\n".join([f"{head}{BEGIN}", *written(), f"{END}{tail}"])


if __name__ == "__main__":
    DOCS.write_text(placed(DOCS.read_text()))
    sys.exit(0)
