"""Which columns of a source are the question, the answer and the images: given by the user, or guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vlt.errors import UsageError

NAMES: dict[str, tuple[str, ...]] = {
    # decoded_image first: if it exists, `image` is only a path (MathVista, MathVision, sft_seed).
    "images": (
        "images",
        "decoded_image",
        "image",
        "file_names",
        "images_file_names",
        "file_name",
        "image_path",
        "image_paths",
        "img",
        "imgs",
        "img_path",
        "image_file",
        "image_files",
        "imagepath",
        "imagename",
        "image_name",
        "filename",
        "image_url",
        "image_urls",
        "imgname",
        "img_name",
        "image_filename",
        "picture",
        "pictures",
        "diagram",
        "photo",
        "jpg",
        "png",
    ),
    "question": (
        "question",
        "problem",
        "query",
        "problem_text",
        "question_text",
        "question_string",
        "instruction",
        "prompt",
    ),
    "answer": (
        "answer",
        "solution",
        "ground_truth",
        "gt_answer",
        "label",
        "gold",
        "gold_answer",
        "correct_answer",
        "final_answer",
        "answers",
        "correct_option",
        "correct_choice_idx",
        "answer_index",
        "answer_idx",
        "gt",
        "target",
        "ideal",
        "response",
        "output",
    ),
    "choices": ("choices", "options", "option", "candidates"),
    "source": ("source", "data_source"),
    "id": ("id",),
    "answer_type": ("answer_type",),
    "meta": ("meta",),
}
"""What an item needs -> the columns that are used for it, the likeliest first."""
MORE: dict[str, tuple[str, ...]] = {
    "caption": ("caption", "description", "image_caption", "dense_caption"),
    "caption_model": ("caption_model",),
    "response": ("response", "responses", "completion", "output", "generation", "prediction"),
    "model": ("model", "generator", "teacher", "model_name"),
    "sample": ("sample", "sample_index"),
    "finish_reason": ("finish_reason",),
}
"""The same for what captions and samples have besides an item (see own.py)."""
NEEDED = ("question", "answer")
LETTERED = ("A", "B", "C", "D", "E", "F", "G", "H")
"""Columns with one choice each, as in multiple-choice benchmarks in CSV."""
IN_COLUMNS = "A,B,..."
NUMBERED_NAMES = tuple(f"{stem}{number}" for stem in ("image_", "image") for number in range(0, 10))
"""Columns with one image each, as in MMMU."""
NUMBERED = "image_1,image_2,..."

Mapping_ = Mapping[str, str]
"""images, question, ... -> the source's column."""


def parse_map(text: str | None) -> dict[str, str]:
    """ "question=problem,image=pic" as {"question": "problem", "images": "pic"}."""
    mapping: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in (text or "").split(","))):
        target, equals, column = (piece.strip() for piece in part.partition("="))
        target = "images" if target == "image" else target
        if not equals or not column or target not in {**NAMES, **MORE}:
            raise UsageError(
                f"--map {part!r} is not NAME=COLUMN with one of the names {', '.join([*NAMES, *MORE])}; "
                "write e.g. --map question=problem,answer=solution"
            )
        mapping[target] = column
    return mapping


def choose_columns(
    columns: Sequence[str],
    mapping: Mapping_ | None,
    where: str,
    *,
    more: Sequence[str] = (),
    needed: Sequence[str] = NEEDED,
    like_images: Sequence[str] = (),
) -> tuple[dict[str, str], dict[str, str]]:
    """(the whole mapping, the part of it that was guessed).

    `more` are targets besides an item's, `needed` the required ones, `like_images` columns whose cells
    look like images, used if no column name is known. Raises UsageError if a named column does not
    exist, or a required one is not found.
    """
    known = {**NAMES, **{name: MORE[name] for name in more}}
    chosen = {("images" if t == "image" else t): c for t, c in (mapping or {}).items()}
    for target, column in chosen.items():
        if target not in known:
            raise UsageError(f"--map has no name {target!r}; there are {', '.join(known)}")
        if column not in columns and column.split(".")[0] not in columns:
            raise UsageError(f"{where} has no column {column!r}; it has {_listed(columns)}")
    lowered = {column.strip().lower(): column for column in reversed(columns)}
    taken = set(chosen.values())
    guessed: dict[str, str] = {}
    for target, names in {**{n: known[n] for n in more}, **known}.items():
        if target in chosen:
            continue
        found = next((lowered[n] for n in names if n in lowered and lowered[n] not in taken), None)
        if found is not None:
            guessed[target] = found
            taken.add(found)
    if "images" not in chosen:
        _guess_images(guessed, columns, lowered, where, like_images)
    if "choices" not in {**chosen, **guessed} and {"A", "B"} <= set(columns):
        guessed["choices"] = IN_COLUMNS
    missing = [target for target in needed if target not in chosen and target not in guessed]
    if missing:
        raise UsageError(
            f"{where} has no column for {' and '.join(missing)} (it has {_listed(columns)}); "
            f"name it with --map {','.join(f'{m}=COLUMN' for m in missing)}"
            + ("; if there are no gold answers, `vlt import --unlabelled`" * ("answer" in missing))
        )
    return {**chosen, **guessed}, {t: c for t, c in guessed.items() if t != c}


def _guess_images(
    guessed: dict[str, str],
    columns: Sequence[str],
    lowered: Mapping[str, str],
    where: str,
    like_images: Sequence[str],
) -> None:
    """Images in columns without a usual name; and a second column, for rows in which the first is empty."""
    if "images" in guessed:
        also = [
            lowered[name]
            for name in ("image", "images")
            if name in lowered and lowered[name] != guessed["images"]
        ]
        if guessed["images"] in ("image", "images") and also:
            guessed["images too"] = also[0]
        return
    if len([name for name in NUMBERED_NAMES if name in columns]) > 0:
        guessed["images"] = NUMBERED
    elif len(like_images) == 1:
        guessed["images"] = like_images[0]
    elif like_images:
        raise UsageError(
            f"{where} has several columns that look like images ({_listed(like_images)}); name one "
            f"with --map images={like_images[0]}"
        )


def _listed(columns: Sequence[str]) -> str:
    """The names, for an error message of one line."""
    return ", ".join(
        column.encode(errors="backslashreplace").decode().replace("\n", "\\n") for column in columns
    )
