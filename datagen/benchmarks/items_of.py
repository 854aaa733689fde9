"""A benchmark's row as the record of an item: the question, the choices, gold as we grade it.

The question of an item is the text that upstream's evaluation gives the model, without its choices:
`question_text` adds them in exactly the form that MathVista and upstream use. The row's own question and
gold are in `meta`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from vlt.datagen.benchmarks.catalog import Benchmark
from vlt.datagen.benchmarks.mathvista import query_of
from vlt.datagen.sources.row import MAX_TEXT, BadRow, Row
from vlt.prompts import LETTERS, question_text

KEPT_ELSEWHERE = ("question", "answer", "choices", "source", "meta", "images")
"""Names of an item's columns; a row's own columns with these names go into meta."""
LETTER_PLEASE = "and provide the correct option letter, e.g., A, B, C, D, E, at the end."


def item_row(benchmark: Benchmark, row: Row) -> dict[str, Any]:
    """source, question, choices, answer, images and meta, besides the row's other columns.

    Raises BadRow if a required column is missing or cannot be read.
    """
    if benchmark.name == "mathvista" and benchmark.question not in row and row.get("question"):
        row = {**row, benchmark.question: query_of(row)}
    for column in (benchmark.answer, *([benchmark.question] if benchmark.asks != "vision" else [])):
        if column not in row:
            raise BadRow(f"no column {column!r}, which {benchmark.name} has")
    choices = _options(row.get(benchmark.choices)) if benchmark.choices else []
    held = {"question", "answer", benchmark.answer, "choices", benchmark.choices, "source"}
    meta = {
        name: _plain(row[name])
        for name in ("question", benchmark.answer, "source")
        if row.get(name) is not None and not isinstance(row[name], bytes)
    }
    skip = {*held, benchmark.question, *benchmark.images, *KEPT_ELSEWHERE}
    return {
        **{name: value for name, value in row.items() if name not in skip},
        "source": benchmark.name,
        "question": _asked(benchmark, row, choices),
        "choices": choices,
        "answer": _gold(benchmark, row[benchmark.answer], choices),
        "images": _images(benchmark, row),
        "meta": meta,
    }


def _asked(benchmark: Benchmark, row: Row, choices: list[str]) -> str:
    if benchmark.asks == "vision":
        said = "Hint: Please answer the question shown in the image."
        please = " Provide the correct option letter, e.g., A, B, C, D, E, at the end."
        return said + please if choices else said
    text = row[benchmark.question]
    seen = benchmark.asks == "hint" and any(row.get(name) for name in benchmark.images)
    if seen and (text is None or text == ""):
        text = ""  # the question is in the picture: EMMA has such a row
    elif not isinstance(text, str) or not text.strip():
        raise BadRow("question is empty")
    if benchmark.asks == "own":
        return _without_choices(text, choices)
    if benchmark.asks == "yes_no":
        return (
            f"Hint: Please answer the question requiring an answer of yes or no.\nQuestion: {text}"
        )
    please = LETTER_PLEASE if choices else "requiring an answer."
    return f"Hint: Please answer the question {please}\nQuestion: {text}"


def _without_choices(text: str, choices: list[str]) -> str:
    """MathVista's query ends with its choices as `question_text` writes them."""
    shown = question_text({"question": "", "choices": [choice.strip() for choice in choices]})
    head, mark, tail = text.rpartition("\nChoices:\n") if choices else (text, "", "")
    lines = [line.strip() for line in (mark + tail).splitlines()]
    return head if mark and lines == [line.strip() for line in shown.splitlines()] else text


def _options(value: Any) -> list[str]:
    """A list, or a string with a Python list; a single list inside a list is unwrapped."""
    if isinstance(value, str):
        if not value.strip():
            return []
        if len(value) > MAX_TEXT:
            raise BadRow(f"options are too long ({len(value):,} characters)")
        try:
            value = ast.literal_eval(value.strip())  # builds values and runs nothing
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise BadRow(f"options are no list: {value[:80]}") from None
    if value is None:
        return []
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    if not isinstance(value, list | tuple):
        raise BadRow(f"options are no list: {str(value)[:80]}")
    return [option if isinstance(option, str) else str(option) for option in value]


def _gold(benchmark: Benchmark, value: Any, choices: list[str]) -> Any:
    """As upstream reads it: the letter of the option with this text, else the value unchanged.

    A gold in brackets is a letter, not a text, even if the options themselves are letters in another order
    (MMMU-Pro has 34 such rows).
    """
    if benchmark.asks == "yes_no":
        said = str(value).strip()
        if said not in ("0", "1"):
            raise BadRow(f"gold is neither 0 nor 1: {said[:40]}")
        return "Yes" if said == "1" else "No"
    if not choices or not isinstance(value, str):
        return value
    letter = value.strip()
    if benchmark.gold_is == "letter" and letter in list(LETTERS[: len(choices)]):
        return f"({letter})"
    if value in choices:
        return f"({LETTERS[choices.index(value)]})"
    return value


def _images(benchmark: Benchmark, row: Row) -> list[Any]:
    """All of the row's images; of decoded_image and image (a path) only the first that exists."""
    names = [name for name in benchmark.images if row.get(name) is not None]
    if "decoded_image" in benchmark.images:
        names = names[:1]
    found: list[Any] = []
    for name in names:
        found += row[name] if isinstance(row[name], list) else [row[name]]
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | Mapping) else str(value)
