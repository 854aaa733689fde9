"""The pages that are made from the code: `reference/`, and `notebooks/*.md` with what they print.

python -m docs.generate            # write them, as `make docs` does
"""

from __future__ import annotations

from pathlib import Path

from docs.generate import commands, names, python_api, recipe, training

PAGES = {
    "commands.md": commands.page,
    "recipe.md": recipe.page,
    "names.md": names.page,
    "python.md": python_api.page,
    "training.md": training.page,
}
"""File under docs/reference -> the function that gives its text."""


def write_pages(docs: Path) -> None:
    """Write what has changed, so that a second build reads the rest from its cache."""
    (docs / "reference").mkdir(exist_ok=True)
    for name, page in PAGES.items():
        _write(docs / "reference" / name, page())
    from docs.generate import notebooks  # also run by itself: see there

    for script in notebooks.scripts(docs):
        notebooks.carry_out(script)


def _write(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")
