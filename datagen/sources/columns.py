"""Which column of a source is the question, the answer, the images: given by the user, or guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlt.errors import UsageError

NAMES: dict[str, tuple[str, ...]] = {
    # decoded_image first: where it stands, `image` is only a path (MathVista, MathVision, sft_seed).
    "images": (
        "images",
        "decoded_image",
        "image",
        "file_names",
        "file_name",
        "image_path",
        "image_paths",
        "img",
    ),
    "question": ("question", "problem", "query"),
    "answer": ("answer", "solution", "ground_truth", "gt_answer", "label"),
    "choices": ("choices", "options"),
    "source": ("source", "data_source"),
    "id": ("id",),
    "answer_type": ("answer_type",),
    "meta": ("meta",),
}
"""What an item needs -> the columns that are taken for it, the likeliest first."""
NEEDED = ("images", "question", "answer")
LETTERED = ("A", "B", "C", "D", "E", "F", "G", "H")
"""Columns that hold one choice each, as multiple-choice benchmarks in CSV have them."""

Mapping_ = Mapping[str, str]
"""images, question, ... -> the source's column."""


def parse_map(text: str | None) -> dict[str, str]:
    """ "question=problem,image=pic" as {"question": "problem", "images": "pic"}."""
    mapping: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in (text or "").split(","))):
        target, equals, column = (piece.strip() for piece in part.partition("="))
        target = "images" if target == "image" else target
        if not equals or not column or target not in NAMES:
            raise UsageError(
                f"--map {part!r} is not NAME=COLUMN with a name of {', '.join(NAMES)}; "
                "write e.g. --map question=problem,answer=solution"
            )
        mapping[target] = column
    return mapping


def choose_columns(
    columns: Sequence[str], mapping: Mapping_ | None, where: str
) -> tuple[dict[str, str], dict[str, str]]:
    """(the whole mapping, the part of it that was guessed).

    Raises UsageError where a column that is named is not there, or one that is needed is not found.
    """
    chosen = {("images" if t == "image" else t): c for t, c in (mapping or {}).items()}
    for target, column in chosen.items():
        if target not in NAMES:
            raise UsageError(f"--map knows no {target!r}; names are {', '.join(NAMES)}")
        if column not in columns:
            raise UsageError(f"{where} has no column {column!r}; it has {', '.join(columns)}")
    lowered = {column.lower(): column for column in reversed(columns)}
    taken = set(chosen.values())
    guessed: dict[str, str] = {}
    for target, names in NAMES.items():
        if target in chosen:
            continue
        found = next((lowered[n] for n in names if n in lowered and lowered[n] not in taken), None)
        if found is not None:
            guessed[target] = found
            taken.add(found)
    if "choices" not in {**chosen, **guessed} and {"A", "B"} <= set(columns):
        guessed["choices"] = "A,B,..."
    missing = [target for target in NEEDED if target not in chosen and target not in guessed]
    if missing:
        raise UsageError(
            f"{where} has no column for {' and '.join(missing)} (it has {', '.join(columns)}); "
            f"name it with --map {','.join(f'{m}=COLUMN' for m in missing)}"
        )
    return {**chosen, **guessed}, {t: c for t, c in guessed.items() if t != c}
