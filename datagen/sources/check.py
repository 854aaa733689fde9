"""Decides whether a record is a valid item: its question can be asked, and answers can be graded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vlt.datagen.sources.gold import Counted, gold, has_gold
from vlt.datagen.sources.record import BadRow, Record
from vlt.datagen.sources.row import whole_text
from vlt.grade import answer_type_of, grade
from vlt.prompts import LETTERS, PLACEHOLDER
from vlt.workspace.schema import ANSWER_TYPES, NO_GOLD, item_id


def sound_item(
    record: Record, images: list[str], source: str, places: Counted = Counted.unknown
) -> dict[str, Any]:
    """The row of an item dataset; `images` are the sha256 of the record's images, in order.

    `places` is the meaning of an integer gold with choices. Raises BadRow with the reason.
    """
    placeholders = record.question.count(PLACEHOLDER)
    if placeholders and placeholders != len(images):
        raise BadRow(f"{PLACEHOLDER} stands {placeholders} times for {len(images)} images")
    choices = record.choices
    if choices and not 2 <= len(choices) <= len(LETTERS):
        raise BadRow(f"{len(choices)} choices (2 to {len(LETTERS)} can be asked)")
    answer: str | None = None
    answer_type = record.answer_type if record.answer_type in ANSWER_TYPES else None
    none = record.unlabelled and not has_gold(record.answer)
    if none:
        answer_type = "choice" if choices else answer_type
    else:
        answer = gold(record.answer, choices, counted=record.counted, places=places)
        answer_type = sound_type(answer, choices, record.question, answer_type)
    source = record.source or source
    answer_source = NO_GOLD if none else None
    id = item_id(source, record.question, choices, answer or "", images, answer_source)
    meta = {k: v for k, v in record.meta.items() if k != "id" or v != id}  # exported by vlt
    if record.answer_type and record.answer_type not in ANSWER_TYPES:
        meta.setdefault("answer_type", record.answer_type)  # not one of vlt's types
    return {
        "id": id,
        "source": source,
        "question": record.question,
        "choices": choices,
        "answer": answer,
        "answer_type": answer_type,
        "images": images,
        "meta": _meta_text(meta),
        "answer_source": answer_source,
    }


def _meta_text(meta: dict[str, Any]) -> str:
    """As JSON that any program can read: unpaired surrogates, which JSON allows, are replaced."""
    text = json.dumps(meta, ensure_ascii=True)
    if "\\ud" in text:
        whole = whole_text(json.dumps(meta, ensure_ascii=False))
        text = json.dumps(json.loads(whole), ensure_ascii=True)
    return text


def sound_type(answer: str, choices: Sequence[str], question: str, said: str | None = None) -> str:
    """The type given by the row (one of ANSWER_TYPES), if the gold is correct by it; else the gold's own.

    Raises BadRow for a gold that would not be graded correct against itself.
    """
    own = answer_type_of(answer, choices or None)
    if choices and said not in ("choice", "yes_no"):
        said = None  # other datasets give the type of the option's text here
    if {said, own} == {"integer", "float"}:
        said = own
    verdict = _of_itself(answer, choices, question, said or own)
    if verdict == "correct":
        return said or own
    if said and said != own and _of_itself(answer, choices, question, own) == "correct":
        return own
    raise BadRow(f"answer cannot be judged (against itself it is {verdict}): {answer[:80]}")


def _of_itself(answer: str, choices: Sequence[str], question: str, answer_type: str) -> str:
    return grade(
        f"<answer>{answer}</answer>",
        answer,
        question=question,
        choices=choices or None,
        answer_type=answer_type,
    ).verdict
