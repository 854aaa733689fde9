"""MathVista's own prompt, for a clone of its repository, where it is in a separate file.

The Hub's column `query` and the repository's data/query.json are built from a row in this way
(github.com/lupantech/MathVista, evaluation/build_query.py).
"""

from __future__ import annotations

from vlt.datagen.sources.row import Row

LETTER = "and provide the correct option letter, e.g., A, B, C, D"
WANTED: dict[tuple[str, int | None], str] = {
    ("integer", None): "requiring an integer answer and provide the final value, e.g., 1, 2, 3",
    ("float", 1): "requiring a floating-point number with one decimal place and provide the final "
    "value, e.g., 1.2, 1.3, 1.4",
    ("float", 2): "requiring a floating-point number with two decimal places and provide the final "
    "value, e.g., 1.23, 1.34, 1.45",
    ("list", None): "requiring a Python list as an answer and provide the final list, e.g., "
    "[1, 2, 3], [1.2, 1.3, 1.4]",
}
"""(answer_type, decimal places) -> the requested form of the answer."""


def query_of(row: Row) -> str:
    """The hint, the question with its unit, and the choices if there are any."""
    kind, places = str(row.get("answer_type")), row.get("precision")
    wanted = LETTER
    if row.get("question_type") != "multi_choice":
        wanted = WANTED.get(
            (kind, int(places) if places and kind == "float" else None),
            "and provide the final answer",
        )
    unit = f" (Unit: {row['unit']})" if row.get("unit") else ""
    lines = [
        f"Hint: Please answer the question {wanted}, at the end.",
        f"Question: {row['question']}{unit}",
    ]
    choices = row.get("choices") or []
    if choices:
        lines += ["Choices:", *(f"({chr(65 + n)}) {choice}" for n, choice in enumerate(choices))]
    return "\n".join(lines)
